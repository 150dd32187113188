from config.celery import app
from inference.schedule import BEAT_SCHEDULE, reading_every


def test_beat_calls_tasks_that_exist() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} <= set(app.tasks)
    assert set(BEAT_SCHEDULE) <= set(app.conf.beat_schedule)


def test_engines_are_read_as_often_as_the_setting_says_and_a_reading_that_nobody_took_is_dropped() -> None:
    (entry,) = reading_every(15).values()
    assert (entry["schedule"], entry["options"]) == (15, {"expires": 15})
    assert entry["task"] in app.tasks
    assert set(reading_every(15)) <= set(app.conf.beat_schedule)
    assert reading_every(0) == {}
