from host_app.notices import MAX_SUBJECTS, RateLimit


def test_subject_is_let_through_once_an_interval_and_the_rest_is_counted() -> None:
    limit = RateLimit(1000)
    assert limit.admit("a", 0) == 0
    assert [limit.admit("a", t) for t in (1, 500, 999)] == [None] * 3
    assert limit.admit("b", 999) == 0
    assert limit.admit("a", 1000) == 3
    assert limit.admit("a", 2000) == 0


def test_subjects_kept_are_bounded() -> None:
    limit = RateLimit(1000)
    for number in range(MAX_SUBJECTS + 10):
        assert limit.admit(number, 0) == 0
    assert limit.admit(0, 1) == 0, "the oldest subject was not forgotten"
    assert limit.admit(MAX_SUBJECTS, 1) is None
