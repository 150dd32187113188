import re

from tenants import keys


def test_a_key_is_recognisable_and_random() -> None:
    first, second = keys.new_secret(), keys.new_secret()
    assert re.fullmatch(r"sk-tw-[\w-]{43}", first)
    assert first != second


def test_a_key_is_found_by_the_sha256_of_its_secret() -> None:
    assert keys.digest("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_visible_prefix_gives_nothing_away() -> None:
    secret = keys.new_secret()
    assert secret.startswith(keys.visible_prefix(secret))
    assert len(keys.visible_prefix(secret)) == 12
