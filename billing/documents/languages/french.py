"""French words of documents."""

from billing.documents.languages.words import MailWords, TaxWords, Words
from metering.usage import ServiceTier, Unit

UNITS: dict[str, str] = {
    Unit.REQUEST: "Requêtes",
    Unit.INPUT_UNCACHED: "Jetons d'entrée",
    Unit.INPUT_CACHED: "Jetons d'entrée en cache",
    Unit.CACHE_WRITE_5M: "Jetons mis en cache pour 5 minutes",
    Unit.CACHE_WRITE_1H: "Jetons mis en cache pour 1 heure",
    Unit.OUTPUT: "Jetons de sortie",
    Unit.REASONING: "Jetons de raisonnement",
    Unit.AUDIO_INPUT: "Jetons d'entrée audio",
    Unit.AUDIO_OUTPUT: "Jetons de sortie audio",
    Unit.IMAGE: "Images",
    Unit.SECOND: "Secondes d'audio",
    Unit.CHARACTER: "Caractères",
}
SINGLE_UNITS: dict[str, str] = {
    Unit.REQUEST: "requête",
    Unit.IMAGE: "image",
    Unit.SECOND: "seconde",
    Unit.CHARACTER: "caractère",
}
TIERS: dict[str, str] = {ServiceTier.BATCH: "par lots", ServiceTier.FLEX: "flexible", ServiceTier.PRIORITY: "priorité"}
KINDS = {
    "fee": "Abonnement",
    "included": "Utilisation incluse",
    "discount": "Remise",
    "coupon": "Bon de réduction",
    "minimum": "Minimum de facturation",
    "commitment": "Engagement non consommé",
    "maximum": "Plafonnement",
    "grant": "Crédit accordé",
    "credit": "Avoir",
}
TAXES = TaxWords(
    standard="TVA {rate} %",
    zero="TVA 0 % (taux zéro)",
    exempt="TVA 0 % (exonéré)",
    reverse_charge="TVA 0 % (autoliquidation)",
    export="TVA 0 % (exportation)",
    out_of_scope="Hors champ de la TVA",
    exempt_reason="Exonéré de TVA.",
    reverse_charge_reason="Autoliquidation : TVA due par le preneur (art. 196 de la directive 2006/112/CE).",
    export_reason="Prestation hors de l'UE, exonérée de TVA.",
    out_of_scope_reason=(
        "Non soumis à la TVA de l'UE : prestation localisée chez le preneur, hors de l'UE "
        "(art. 44 et 58 de la directive 2006/112/CE)."
    ),
)
MAIL = MailWords(
    subject="{title} de {seller}",
    invoice="""\
Bonjour,

veuillez trouver ci-joint la facture {number} de {due} pour {month},
payable au plus tard le {due_on}.

Pour toute question : {email}.

{seller}
""",
    credit_note="""\
Bonjour,

veuillez trouver ci-joint l'avoir {number} de {due} sur la facture {corrects}.

Pour toute question : {email}.

{seller}
""",
)
FRENCH = Words(
    invoice="Facture {number}",
    credit_note="Avoir {number}",
    invoice_to="Facturé à",
    tax_number="N° fiscal / TVA",
    invoice_number="Numéro de facture",
    credit_note_number="Numéro d'avoir",
    issue_date="Date d'émission",
    due_date="Échéance",
    service_period="Période de prestation",
    time_zone="Fuseau horaire",
    corrected_invoice="Sur la facture",
    dated="{number} du {day}",
    reason="Motif",
    closed_early=(
        "Clôture anticipée : utilisation enregistrée jusqu'au {moment}. "
        "L'utilisation ultérieure figurera sur la prochaine facture."
    ),
    position="Pos.",
    description="Description",
    quantity="Quantité",
    unit_price="Prix unitaire",
    amount="Montant ({currency})",
    project="Projet {project}",
    whole_tenant="Tous les projets",
    late_usage="rattrapage de {month}",
    correction="correction de {month}",
    per_million_tokens="par million de jetons",
    per="par {unit}",
    units=UNITS,
    single_units=SINGLE_UNITS,
    tiers=TIERS,
    kinds=KINDS,
    discount_of="Remise de {percent} %",
    trial="Période d'essai",
    of_kind="{kind} : {name}",
    net="Montant HT",
    taxes=TAXES,
    gross="Montant TTC",
    prepaid="Payé par le crédit prépayé",
    amount_due="Net à payer",
    amount_credited="Montant de l'avoir",
    payment="Paiement",
    please_pay="Merci de payer {amount} au plus tard le {day}, en rappelant {number}.",
    nothing_to_pay="Rien n'est à payer.",
    paid_by_wallet="Rien n'est à payer : le crédit prépayé a réglé la facture.",
    credited="{amount} sont portés à votre crédit sur la facture {corrects}. Rien n'est à payer.",
    bank_details="Coordonnées bancaires",
    usage_by_model="Utilisation par modèle",
    usage_by_day="Utilisation par jour",
    model="Modèle",
    day="Jour",
    requests="Requêtes",
    input_tokens="Jetons d'entrée",
    output_tokens="Jetons de sortie",
    total="Total",
    remark=(
        "Cette facture couvre l'utilisation telle qu'enregistrée le {moment}. L'utilisation de la période enregistrée "
        "plus tard sera facturée plus tard, avec mention de son mois."
    ),
    rounding="Chaque ligne est arrondie une seule fois.",
    page="Page {page} sur {pages}",
    mail=MAIL,
)
