from config.celery import app
from inference.schedule import BEAT_SCHEDULE


def test_beat_calls_tasks_that_exist() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} <= set(app.tasks)
    assert set(BEAT_SCHEDULE) <= set(app.conf.beat_schedule)
