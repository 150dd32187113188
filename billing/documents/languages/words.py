"""What every language has to say. Names in braces are filled in by `str.format`."""

import msgspec


class TaxWords(msgspec.Struct, frozen=True, kw_only=True):
    """How a tax is named in the sums, and why none is due where no reason was written on the invoice."""

    standard: str  # {rate}
    zero: str
    exempt: str
    reverse_charge: str
    export: str
    out_of_scope: str
    exempt_reason: str
    reverse_charge_reason: str
    export_reason: str
    out_of_scope_reason: str


class MailWords(msgspec.Struct, frozen=True, kw_only=True):
    """The mail that brings a document."""

    subject: str  # {title} {seller}
    invoice: str  # {number} {due} {month} {due_on} {email} {seller}
    credit_note: str  # {number} {due} {corrects} {email} {seller}


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """Every word that stands on a document."""

    # Titles, and what stands in the head.
    invoice: str  # {number}
    credit_note: str  # {number}
    invoice_to: str
    tax_number: str
    invoice_number: str
    credit_note_number: str
    issue_date: str
    due_date: str
    service_period: str
    time_zone: str
    corrected_invoice: str
    dated: str  # {number} {day}
    reason: str
    closed_early: str  # {moment}

    # The table of lines.
    position: str
    description: str
    quantity: str
    unit_price: str
    amount: str  # {currency}
    project: str  # {project}
    whole_tenant: str
    late_usage: str  # {month}
    correction: str  # {month}
    per_million_tokens: str
    per: str  # {unit}
    units: dict[str, str]
    single_units: dict[str, str]
    tiers: dict[str, str]
    kinds: dict[str, str]
    discount_of: str  # {percent}
    trial: str
    of_kind: str  # {kind} {name}

    # Sums, tax and payment.
    net: str
    taxes: TaxWords
    gross: str
    prepaid: str
    amount_due: str
    amount_credited: str
    payment: str
    please_pay: str  # {amount} {day} {number}
    nothing_to_pay: str
    paid_by_wallet: str
    credited: str  # {amount} {corrects}
    bank_details: str

    # What was used, and the foot.
    usage_by_model: str
    usage_by_day: str
    model: str
    day: str
    requests: str
    input_tokens: str
    output_tokens: str
    total: str
    remark: str  # {moment}
    rounding: str
    page: str  # {page} {pages}

    mail: MailWords
