"""Archives that read not every form of a storage commitment request, or not so long ones."""

from pathlib import Path

import pytest

from edged.dicomweb.commitment_report import CommitmentForm, Reference, parse_commitment_request
from edged.upstream.reforms import FORMS, Form, Reforms
from tests.support.committing import Committing
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Asked, Reply, ScriptedArchive, committed, scripted_archive
from tests.support.stow_kit import named

REFERENCES = [Reference("1.1", f"1.1.{n % 2}", "1.2.840.10008.5.1.4.1.1.2", f"1.1.1.{n}") for n in range(5)]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(form: Form) -> None:
    written = form.write(REFERENCES)
    read = parse_commitment_request(written.body, written.content_type)
    assert read.form is form.lists
    assert {each.sop_instance_uid for each in read.references} == {each.sop_instance_uid for each in REFERENCES}
    if form.lists is CommitmentForm.STUDY:
        assert set(read.references) == set(REFERENCES)
    assert written.content_type.startswith(form.accept.partition(";")[0])


def test_each_form_is_tried_once_and_what_was_accepted_comes_first() -> None:
    reforms = Reforms()
    tried = [reforms.usual]
    while others := reforms.others(tried):
        tried.append(others[0])
    assert sorted(map(FORMS.index, tried)) == list(range(len(FORMS)))
    reforms.accepted(FORMS[3])
    assert reforms.usual == FORMS[3]
    assert FORMS[0] in reforms.others([reforms.usual])


def reading(archive: ScriptedArchive, form: Form, status: int, *, most: int = 1000) -> list[Asked]:
    """Let an archive read one form only; what it is asked."""
    asked_for: list[Asked] = []

    def rule(asked: Asked) -> Reply:
        asked_for.append(asked)
        content_type = asked.all("content-type")[0]
        read = parse_commitment_request(asked.body, content_type)
        if read.form is not form.lists or not content_type.startswith(form.accept.partition(";")[0]):
            return Reply(status)
        if form.accept not in asked.all("accept"):
            return Reply(406)
        if len(read.references) > most:
            return Reply(413)
        return committed(each.sop_instance_uid for each in read.references)

    archive.on_commitment = rule
    return asked_for


@pytest.mark.parametrize("status", [400, 406, 415])
@pytest.mark.parametrize("form", FORMS)
async def test_the_form_that_an_archive_reads_is_found_and_remembered(tmp_path: Path, form: Form, status: int) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        asked = reading(archive, form, status)
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1})
        assert len(asked) <= len(FORMS)
        assert len({each.transaction_uid for each in asked}) == 1
        assert box.condition_names() == set()
        before = len(asked)
        await box.take_made(named(2))
        await box.until(lambda: box.at() == {"committed": 2})
        assert len(asked) == before + 1


async def test_an_archive_that_reads_no_form_is_asked_in_each_once_and_that_is_told(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = lambda _: Reply(400)
        await box.take_made(named(1))
        await box.until(lambda: box.condition_names() == {"commitment-refused:archive"})
        assert len({(each.all("content-type")[0][:40], len(each.body)) for each in archive.commitments}) >= 5
        assert len(archive.commitments) == len(FORMS)
        for _ in range(3):
            await box.pass_time(60)
        later = archive.commitments[len(FORMS) :]
        assert 0 < len(later) <= 10
        assert {each.all("content-type")[0] for each in later} == {"application/dicom+json"}
        archive.on_commitment = Committing(archive).at_once
        await box.until(lambda: box.at() == {"committed": 1} and not box.condition_names(), step_s=60)


async def test_the_length_that_an_archive_takes_is_learned(tmp_path: Path) -> None:
    """Halved until it is taken; then what was refused once is not asked for again, and less than that once at most."""
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        asked = reading(archive, FORMS[0], 400, most=3)
        await box.take_made(*(named(n) for n in range(1, 17)))
        await box.until(lambda: box.at() == {"committed": 16}, step_s=1)
        refused = sum(len(each.listed) > 3 for each in asked)
        before = len(asked)
        await box.take_made(*(named(n) for n in range(17, 41)))
        await box.until(lambda: box.at() == {"committed": 40}, step_s=1)
        assert refused >= 1
        assert sum(len(each.listed) > 3 for each in asked[before:]) <= 1


async def test_no_request_names_more_than_the_settings_allow(tmp_path: Path) -> None:
    config = {"commitment_instances": "4"}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **config)) as box:
        asked = reading(archive, FORMS[0], 400)
        await box.take_made(*(named(n) for n in range(1, 31)))
        await box.until(lambda: box.at() == {"committed": 30}, step_s=1)
        assert max(len(each.listed) for each in asked) <= 4
