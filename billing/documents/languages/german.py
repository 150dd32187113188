"""German words of documents."""

from billing.documents.languages.words import MailWords, TaxWords, Words
from metering.usage import ServiceTier, Unit

UNITS: dict[str, str] = {
    Unit.REQUEST: "Anfragen",
    Unit.INPUT_UNCACHED: "Eingabe-Token",
    Unit.INPUT_CACHED: "Eingabe-Token aus dem Cache",
    Unit.CACHE_WRITE_5M: "Token, für 5 Minuten im Cache abgelegt",
    Unit.CACHE_WRITE_1H: "Token, für 1 Stunde im Cache abgelegt",
    Unit.OUTPUT: "Ausgabe-Token",
    Unit.REASONING: "Reasoning-Token",
    Unit.AUDIO_INPUT: "Audio-Eingabe-Token",
    Unit.AUDIO_OUTPUT: "Audio-Ausgabe-Token",
    Unit.IMAGE: "Bilder",
    Unit.SECOND: "Sekunden Audio",
    Unit.CHARACTER: "Zeichen",
}
SINGLE_UNITS: dict[str, str] = {
    Unit.REQUEST: "Anfrage",
    Unit.IMAGE: "Bild",
    Unit.SECOND: "Sekunde",
    Unit.CHARACTER: "Zeichen",
}
TIERS: dict[str, str] = {ServiceTier.BATCH: "Batch", ServiceTier.FLEX: "Flex", ServiceTier.PRIORITY: "Priorität"}
KINDS = {
    "fee": "Grundgebühr",
    "included": "Enthaltene Nutzung",
    "discount": "Rabatt",
    "coupon": "Gutschein",
    "minimum": "Mindestbetrag",
    "commitment": "Nicht ausgeschöpfte Abnahmeverpflichtung",
    "maximum": "Begrenzung auf den Höchstbetrag",
    "grant": "Gewährtes Guthaben",
    "credit": "Gutschrift",
}
TAXES = TaxWords(
    standard="Umsatzsteuer {rate} %",
    zero="Umsatzsteuer 0 % (Nullsatz)",
    exempt="Umsatzsteuer 0 % (steuerfrei)",
    reverse_charge="Umsatzsteuer 0 % (Reverse-Charge)",
    export="Umsatzsteuer 0 % (Ausfuhr)",
    out_of_scope="Nicht steuerbar",
    exempt_reason="Steuerfrei.",
    reverse_charge_reason=(
        "Steuerschuldnerschaft des Leistungsempfängers (Art. 196 der Richtlinie 2006/112/EG, Reverse-Charge)."
    ),
    export_reason="Leistung außerhalb der EU, steuerfrei.",
    out_of_scope_reason=(
        "Nicht der Mehrwertsteuer der EU unterliegend: Leistungsort beim Empfänger außerhalb der EU "
        "(Art. 44 und 58 der Richtlinie 2006/112/EG)."
    ),
)
MAIL = MailWords(
    subject="{title} von {seller}",
    invoice="""\
Guten Tag,

anbei erhalten Sie die Rechnung {number} über {due} für {month},
fällig am {due_on}.

Fragen beantworten wir unter {email}.

{seller}
""",
    credit_note="""\
Guten Tag,

anbei erhalten Sie die Rechnungskorrektur {number} über {due} zur Rechnung {corrects}.

Fragen beantworten wir unter {email}.

{seller}
""",
)
GERMAN = Words(
    invoice="Rechnung {number}",
    credit_note="Rechnungskorrektur {number}",
    invoice_to="Rechnung an",
    tax_number="Steuernummer / USt-IdNr.",
    invoice_number="Rechnungsnummer",
    credit_note_number="Nummer",
    issue_date="Rechnungsdatum",
    due_date="Fällig am",
    service_period="Leistungszeitraum",
    time_zone="Zeitzone",
    corrected_invoice="Zur Rechnung",
    dated="{number} vom {day}",
    reason="Grund",
    closed_early=(
        "Vorzeitig abgeschlossen: erfasste Nutzung bis {moment}. Spätere Nutzung kommt auf die nächste Rechnung."
    ),
    position="Pos.",
    description="Beschreibung",
    quantity="Menge",
    unit_price="Einzelpreis",
    amount="Betrag ({currency})",
    project="Projekt {project}",
    whole_tenant="Alle Projekte",
    late_usage="Nachtrag für {month}",
    correction="Korrektur für {month}",
    per_million_tokens="je 1 Mio. Token",
    per="je {unit}",
    units=UNITS,
    single_units=SINGLE_UNITS,
    tiers=TIERS,
    kinds=KINDS,
    discount_of="Rabatt von {percent} %",
    trial="Testphase",
    of_kind="{kind}: {name}",
    net="Nettobetrag",
    taxes=TAXES,
    gross="Gesamtbetrag mit Steuer",
    prepaid="Aus Guthaben bezahlt",
    amount_due="Zahlbetrag",
    amount_credited="Gutgeschriebener Betrag",
    payment="Zahlung",
    please_pay="Bitte zahlen Sie {amount} bis zum {day} unter Angabe von {number}.",
    nothing_to_pay="Es ist nichts zu zahlen.",
    paid_by_wallet="Es ist nichts zu zahlen: Der Betrag ist aus Guthaben bezahlt.",
    credited="{amount} werden zur Rechnung {corrects} gutgeschrieben. Es ist nichts zu zahlen.",
    bank_details="Bankverbindung",
    usage_by_model="Nutzung nach Modell",
    usage_by_day="Nutzung nach Tag",
    model="Modell",
    day="Tag",
    requests="Anfragen",
    input_tokens="Eingabe-Token",
    output_tokens="Ausgabe-Token",
    total="Summe",
    remark=(
        "Diese Rechnung umfasst die Nutzung, wie sie am {moment} erfasst war. Nutzung des Zeitraums, die später "
        "erfasst wird, wird später mit Nennung ihres Monats berechnet."
    ),
    rounding="Jede Zeile ist einmal gerundet.",
    page="Seite {page} von {pages}",
    mail=MAIL,
)
