from config import addresses


def test_a_database_address_becomes_djangos_settings() -> None:
    database = addresses.django_database("postgresql://anna:p%40ss@db.example:5433/ledger?sslmode=require")
    assert {name: database[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")} == {
        "NAME": "ledger",
        "USER": "anna",
        "PASSWORD": "p@ss",
        "HOST": "db.example",
        "PORT": "5433",
        "OPTIONS": {"sslmode": "require"},
    }


def test_a_database_may_be_reached_through_a_folder_with_its_socket() -> None:
    database = addresses.django_database("postgresql://tokenworks@/tokenworks?host=/srv/a%20b/run")
    assert (database["HOST"], database["PORT"], database["PASSWORD"]) == ("/srv/a b/run", "", "")
    assert database["OPTIONS"] == {}


def test_celery_has_its_own_word_for_a_socket() -> None:
    assert addresses.celery_url("unix:///srv/valkey.sock") == "redis+socket:///srv/valkey.sock"
    assert addresses.celery_url("redis://unix:6379/0") == "redis://unix:6379/0"


def test_mail_goes_to_the_console() -> None:
    assert addresses.django_email("console://")["EMAIL_BACKEND"].endswith("console.EmailBackend")


def test_mail_goes_to_a_folder() -> None:
    mail = addresses.django_email("file:///srv/mail")
    assert mail["EMAIL_BACKEND"].endswith("filebased.EmailBackend")
    assert mail["EMAIL_FILE_PATH"] == "/srv/mail"


def test_mail_goes_to_a_server_with_tls_from_the_first_byte() -> None:
    mail = addresses.django_email("smtps://anna:p%40ss@mail.example")
    assert (mail["EMAIL_HOST"], mail["EMAIL_PORT"], mail["EMAIL_USE_SSL"]) == ("mail.example", 465, True)
    assert (mail["EMAIL_HOST_USER"], mail["EMAIL_HOST_PASSWORD"]) == ("anna", "p@ss")


def test_mail_goes_to_a_server_on_a_port_of_its_own() -> None:
    mail = addresses.django_email("smtp://mail.example:2525")
    assert (mail["EMAIL_PORT"], mail["EMAIL_USE_SSL"]) == (2525, False)
