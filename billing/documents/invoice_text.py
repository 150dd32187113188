"""Every word and figure that stands on the page of an invoice or credit note, in its language. Pure."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import groupby

import msgspec

from billing.charges import LineKind
from billing.documents import usage
from billing.documents.content import Content, Item, Party, Tax
from billing.documents.figures import Figures, figures_of
from billing.documents.invoice_pdf import Group, InvoiceText, Line, PrintedParty, Table
from billing.documents.languages import Words, words_of
from billing.statement import TRIAL
from billing.tax import OUTSIDE_THE_EU, REVERSE_CHARGE

LONG_WORD = re.compile(r"\S{25,}")
AFTER_SIGNS = re.compile(r"[-/_.:@]")
ANYWHERE = re.compile(r"[^\u200b]{24}")
WORDED_BY_HAND = {LineKind.GRANT, LineKind.CREDIT}  # Why they were given stands in their description only.
REASONS_OF_LAW = {OUTSIDE_THE_EU, REVERSE_CHARGE}
CATEGORIES = {"Z": "zero", "E": "exempt", "AE": "reverse_charge", "G": "export", "O": "out_of_scope"}


def invoice_text(content: Content, used: Sequence[usage.Used], closing_words: str = "") -> InvoiceText:
    """The text of a document. The same content gives the same text."""
    return Printing(content, words_of(content.language), figures_of(content.language)).text(used, closing_words)


def item_name(item: Item, words: Words, figures: Figures) -> str:
    """What a line is for: a unit, or what the plan asks or takes off, with the name that this has."""
    unit = words.units.get(item.unit, item.unit)
    if item.kind == LineKind.USAGE:
        return unit
    if item.kind == LineKind.DISCOUNT and item.detail:
        return words.trial if item.detail == TRIAL else words.discount_of.format(percent=_percent(item.detail, figures))
    named = unit or item.detail
    if not named and item.kind in WORDED_BY_HAND:
        return item.description
    kind = words.kinds.get(item.kind, item.kind)
    return words.of_kind.format(kind=kind, name=named) if named else kind


def item_month(item: Item, words: Words, figures: Figures) -> str:
    """The earlier month that a line belongs to; empty for the document's own."""
    if not item.is_correction:
        return ""
    named = words.late_usage if item.kind == LineKind.USAGE else words.correction
    return named.format(month=figures.month(item.month))


def _percent(detail: str, figures: Figures) -> str:
    try:
        return figures.percent(Decimal(detail))
    except InvalidOperation:
        return detail


def item_about(item: Item, words: Words) -> str:
    """The model that a line is about, with its tier; empty where it is about the tenant as a whole."""
    tier = words.tiers.get(item.service_tier, item.service_tier)
    return f"{item.model} ({tier})" if item.model and tier else item.model


def tax_name(tax: Tax, words: Words, figures: Figures) -> str:
    if tax.category in CATEGORIES:
        return str(getattr(words.taxes, CATEGORIES[tax.category]))
    return words.taxes.standard.format(rate=figures.percent(tax.rate_percent))


def tax_reason(tax: Tax, words: Words) -> str:
    """Why no tax is due, where none is: the law's reason in the document's language, what somebody wrote as it is."""
    if tax.category in {"S", "Z"}:
        return ""
    if tax.reason and tax.reason not in REASONS_OF_LAW:
        return tax.reason
    return str(getattr(words.taxes, f"{CATEGORIES[tax.category]}_reason"))


def breakable(text: str) -> str:
    """The text with places where its long words may break: after the signs that names of models have, or anywhere."""
    return LONG_WORD.sub(lambda word: ANYWHERE.sub("\\g<0>\u200b", AFTER_SIGNS.sub("\\g<0>\u200b", word[0])), text)


class Printing:
    """One document on its way into print."""

    def __init__(self, content: Content, words: Words, figures: Figures) -> None:
        self.content = content
        self.words = words
        self.figures = figures

    def text(self, used: Sequence[usage.Used], closing_words: str) -> InvoiceText:
        content, words = self.content, self.words
        return InvoiceText(
            language=content.language,
            title=title(content, words),
            seller=self._seller(),
            buyer=self._party(content.buyer),
            labels=self._labels(),
            facts=self._facts(),
            notice=self._notice(),
            groups=self._groups(),
            sums=self._sums(),
            total=(
                words.amount_credited if content.is_credit_note else words.amount_due,
                self.figures.money(content.due, content.currency),
            ),
            tax_notes=[note for note in (tax_reason(tax, words) for tax in content.taxes) if note],
            payment=self._payment(),
            bank=[breakable(line) for line in content.bank_details],
            tables=self._tables(used),
            remark=self._remark(),
            closing_words=breakable(closing_words),
            footer=[
                breakable(part)
                for part in (
                    content.seller.name,
                    f"{words.tax_number} {content.seller.tax_number}",
                    content.seller.email,
                )
            ],
        )

    def _labels(self) -> dict[str, str]:
        words = self.words
        return {
            "to": words.invoice_to,
            "tax_number": words.tax_number,
            "position": words.position,
            "description": words.description,
            "quantity": words.quantity,
            "unit_price": words.unit_price,
            "amount": words.amount.format(currency=self.content.currency),
            "payment": words.payment,
            "bank": words.bank_details,
            "page": words.page,
        }

    def _party(self, party: Party) -> PrintedParty:
        address = [*map(breakable, party.address), self.figures.country(party.country)]
        return PrintedParty(name=breakable(party.name), address=address, tax_number=breakable(party.tax_number))

    def _seller(self) -> PrintedParty:
        seller = self.content.seller
        contact = [seller.email, f"{self.words.tax_number} {seller.tax_number}"]
        return msgspec.structs.replace(self._party(seller), contact=contact)

    def _facts(self) -> list[tuple[str, str]]:
        content, words, figures = self.content, self.words, self.figures
        facts = [
            (words.credit_note_number if content.is_credit_note else words.invoice_number, content.number),
            (words.issue_date, figures.day(content.issued_on)),
        ]
        if content.is_credit_note:
            facts.append((words.corrected_invoice, self._corrected()))
        else:
            facts.append((words.due_date, figures.day(content.due_on)))
        facts.append((words.service_period, figures.days(content.first_day, content.last_day)))
        facts.append((words.time_zone, content.time_zone))
        return facts

    def _corrected(self) -> str:
        content = self.content
        if content.corrects_issued_on is None:
            return content.corrects
        return self.words.dated.format(number=content.corrects, day=self.figures.day(content.corrects_issued_on))

    def _notice(self) -> str:
        content = self.content
        if content.is_credit_note:
            return f"{self.words.reason}: {content.reason}"
        if content.closed_early:
            return self.words.closed_early.format(moment=self.figures.moment(content.usage_until, content.time_zone))
        return ""

    def _groups(self) -> list[Group]:
        headed = groupby(self.content.items, key=self._heading)
        return [Group(title, note, [self._line(item) for item in items]) for (title, note), items in headed]

    def _heading(self, item: Item) -> tuple[str, str]:
        """The model, and beside it the project, with the month where that is an earlier one."""
        words = self.words
        project = words.project.format(project=item.project) if item.project else ""
        late = item_month(item, words, self.figures)
        about = item_about(item, words) or words.whole_tenant
        return breakable(about), breakable(", ".join(filter(None, (project, late))))

    def _line(self, item: Item) -> Line:
        currency, figures = self.content.currency, self.figures
        quantity, price, per = "", "", ""
        if item.price is not None:
            quantity = figures.quantity(item.quantity)
            price, per = figures.unit_price(item.price.amount.decimal, currency, item.price.per, item.unit)
        return Line(
            position=str(item.position),
            name=breakable(item_name(item, self.words, figures)),
            service=figures.days(item.first_day, item.last_day),
            quantity=quantity,
            price=price,
            per=per,
            amount=figures.amount(item.amount, currency),
        )

    def _sums(self) -> list[tuple[str, str]]:
        content, words = self.content, self.words
        several = len(content.taxes) > 1
        sums = [(words.net, content.net)]
        for tax in content.taxes:
            name = tax_name(tax, words, self.figures)
            of = f" ({self.figures.money(tax.net, content.currency)})" if several else ""
            sums.append((name + of, tax.tax))
        if content.prepaid:
            sums += [(words.gross, content.gross), (words.prepaid, -content.prepaid)]
        return [(name, self.figures.money(amount, content.currency)) for name, amount in sums]

    def _payment(self) -> str:
        content, words, figures = self.content, self.words, self.figures
        due = figures.money(content.due, content.currency)
        if content.is_credit_note:
            return words.credited.format(amount=due, corrects=content.corrects)
        if content.due <= 0:
            return words.paid_by_wallet if content.prepaid else words.nothing_to_pay
        return words.please_pay.format(amount=due, day=figures.day(content.due_on), number=content.number)

    def _tables(self, used: Sequence[usage.Used]) -> list[Table]:
        """Usage by model and by day, in one look; none on a credit note."""
        if not used:
            return []
        words, total = self.words, usage.in_total(used)
        models = [(breakable(name), counts) for name, counts in usage.by_model(used).items()]
        days = [(self.figures.day(day), counts) for day, counts in usage.by_day(used).items()]
        return [
            self._table(words.usage_by_model, words.model, models, total),
            self._table(words.usage_by_day, words.day, days, total),
        ]

    def _table(self, title: str, first: str, rows: list[tuple[str, usage.Counts]], total: usage.Counts) -> Table:
        words = self.words
        shown = [self._row(name, counts) for name, counts in rows]
        return Table(
            title=title,
            heads=[first, words.requests, words.input_tokens, words.output_tokens],
            columns=[list(column) for column in zip(*shown, strict=True)],
            total=self._row(words.total, total) if len(rows) > 1 else [],
            one_line_each=first == words.day,
        )

    def _row(self, name: str, counts: usage.Counts) -> list[str]:
        return [name, *map(self.figures.quantity, (counts.requests, counts.input_tokens, counts.output_tokens))]

    def _remark(self) -> str:
        if self.content.is_credit_note:
            return ""
        moment = self.figures.moment(self.content.cutoff, self.content.time_zone)
        gap = "" if self.content.language in {"zh", "ja"} else " "
        return gap.join((self.words.remark.format(moment=moment), self.words.rounding))


def title(content: Content, words: Words) -> str:
    return (words.credit_note if content.is_credit_note else words.invoice).format(number=content.number)
