"""The mail that brings a document: in its language, with the PDF and the XML."""

from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMessage

from billing.documents.content import Content
from billing.documents.en16931 import can_say
from billing.documents.figures import figures_of
from billing.documents.invoice_text import title
from billing.documents.issue import cii_of, pdf_of
from billing.documents.languages import words_of
from billing.documents.reading import content_of
from billing.models import Invoice


def letter(invoice: Invoice, recipient: str) -> EmailMessage:
    """The mail to send. Raises `DocumentRefused` where there is no valid document to bring."""
    content = content_of(invoice)
    mail = EmailMessage(
        subject=_subject(content),
        body=_body(content),
        to=[recipient],
        reply_to=[content.seller.email],
        headers={"Message-ID": f"<invoice-{content.number}@{_domain()}>"},
    )
    mail.attach(f"{content.number}.pdf", pdf_of(invoice), "application/pdf")
    if can_say(content.currency):
        mail.attach(f"{content.number}.xml", cii_of(invoice), "application/xml")
    return mail


def _subject(content: Content) -> str:
    words = words_of(content.language)
    subject = words.mail.subject.format(title=title(content, words), seller=content.seller.name)
    return " ".join(subject.split())


def _body(content: Content) -> str:
    mail, figures = words_of(content.language).mail, figures_of(content.language)
    return (mail.credit_note if content.is_credit_note else mail.invoice).format(
        number=content.number,
        due=figures.money(content.due, content.currency),
        month=figures.month(content.month),
        due_on=figures.day(content.due_on),
        corrects=content.corrects,
        email=content.seller.email,
        seller=content.seller.name,
    )


def _domain() -> str:
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
