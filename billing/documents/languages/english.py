"""English words of documents."""

from billing.documents.languages.words import MailWords, TaxWords, Words
from metering.usage import ServiceTier, Unit

UNITS: dict[str, str] = {
    Unit.REQUEST: "Requests",
    Unit.INPUT_UNCACHED: "Input tokens",
    Unit.INPUT_CACHED: "Cached input tokens",
    Unit.CACHE_WRITE_5M: "Tokens cached for 5 minutes",
    Unit.CACHE_WRITE_1H: "Tokens cached for 1 hour",
    Unit.OUTPUT: "Output tokens",
    Unit.REASONING: "Reasoning tokens",
    Unit.AUDIO_INPUT: "Audio input tokens",
    Unit.AUDIO_OUTPUT: "Audio output tokens",
    Unit.IMAGE: "Images",
    Unit.SECOND: "Seconds of audio",
    Unit.CHARACTER: "Characters",
}
SINGLE_UNITS: dict[str, str] = {
    Unit.REQUEST: "request",
    Unit.IMAGE: "image",
    Unit.SECOND: "second",
    Unit.CHARACTER: "character",
}
TIERS: dict[str, str] = {ServiceTier.BATCH: "batch", ServiceTier.FLEX: "flex", ServiceTier.PRIORITY: "priority"}
KINDS = {
    "fee": "Subscription fee",
    "included": "Included usage",
    "discount": "Discount",
    "coupon": "Coupon",
    "minimum": "Minimum charge",
    "commitment": "Commitment not used up",
    "maximum": "Limited to the maximum charge",
    "grant": "Granted credit",
    "credit": "Credit",
}
TAXES = TaxWords(
    standard="Tax {rate} %",
    zero="Tax 0 % (zero rate)",
    exempt="Tax 0 % (exempt)",
    reverse_charge="Tax 0 % (reverse charge)",
    export="Tax 0 % (export)",
    out_of_scope="No tax (out of scope)",
    exempt_reason="Exempt from tax.",
    reverse_charge_reason="Reverse charge: the buyer accounts for the VAT (Art. 196 of Directive 2006/112/EC).",
    export_reason="Supplied outside the EU and free of tax.",
    out_of_scope_reason=(
        "Not subject to EU VAT: supplied where the buyer is, outside the EU (Art. 44 and 58 of Directive 2006/112/EC)."
    ),
)
MAIL = MailWords(
    subject="{title} from {seller}",
    invoice="""\
Hello,

please find attached invoice {number} over {due} for {month},
due on {due_on}.

Questions are answered at {email}.

{seller}
""",
    credit_note="""\
Hello,

please find attached credit note {number} over {due} for invoice {corrects}.

Questions are answered at {email}.

{seller}
""",
)
ENGLISH = Words(
    invoice="Invoice {number}",
    credit_note="Credit note {number}",
    invoice_to="Invoice to",
    tax_number="Tax number",
    invoice_number="Invoice number",
    credit_note_number="Credit note number",
    issue_date="Issue date",
    due_date="Due date",
    service_period="Service period",
    time_zone="Time zone",
    corrected_invoice="For invoice",
    dated="{number} of {day}",
    reason="Reason",
    closed_early="Closed early: usage recorded until {moment}. What is used later comes on the next invoice.",
    position="Pos.",
    description="Description",
    quantity="Quantity",
    unit_price="Unit price",
    amount="Amount ({currency})",
    project="Project {project}",
    whole_tenant="All projects",
    late_usage="late usage of {month}",
    correction="correction of {month}",
    per_million_tokens="per 1M tokens",
    per="per {unit}",
    units=UNITS,
    single_units=SINGLE_UNITS,
    tiers=TIERS,
    kinds=KINDS,
    discount_of="Discount of {percent} %",
    trial="Trial",
    of_kind="{kind}: {name}",
    net="Net amount",
    taxes=TAXES,
    gross="Total including tax",
    prepaid="Paid by prepaid credit",
    amount_due="Amount due",
    amount_credited="Amount credited",
    payment="Payment",
    please_pay="Please pay {amount} by {day}, quoting {number}.",
    nothing_to_pay="Nothing is to be paid.",
    paid_by_wallet="Nothing is to be paid: prepaid credit has paid for it.",
    credited="{amount} are credited towards invoice {corrects}. Nothing is to be paid.",
    bank_details="Bank details",
    usage_by_model="Usage by model",
    usage_by_day="Usage by day",
    model="Model",
    day="Day",
    requests="Requests",
    input_tokens="Input tokens",
    output_tokens="Output tokens",
    total="Total",
    remark=(
        "This invoice covers usage as recorded on {moment}. Usage of its period that is recorded later is invoiced "
        "later, named with its month."
    ),
    rounding="Each line is rounded once.",
    page="Page {page} of {pages}",
    mail=MAIL,
)
