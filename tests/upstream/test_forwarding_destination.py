"""What an answer does to the destination: credentials, wrong URLs, forms of the answer, redirects, odd statuses."""

from pathlib import Path

import pytest

from edged.telemetry.live import DestinationState
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import BASE, JSON, Asked, Reply, Stow, report, scripted_archive
from tests.support.stow_kit import named

SEARCH = '["search"]'
HTML = (("content-type", "text/html"),)


def bearer(file: Path) -> str:
    """An [destination.auth] section after the destination's keys."""
    return f'[destination.auth]\nkind = "bearer"\ntoken_file = "{file}"\n'


async def test_a_token_that_was_rotated_is_read_again_and_nothing_is_held(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    async with scripted_archive() as (archive, _):

        def rotating(stow: Stow) -> Reply:
            if stow.asked.all("authorization") == ["Bearer new"]:
                return archive.store_all(stow)
            token.write_text("new\n")
            return Reply(401)

        archive.on_store = rotating
        async with forwarding(tmp_path, destination(archive.url, commitment=SEARCH) + bearer(token)) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.at() == {"committed": 1})
            assert [stow.asked.all("authorization") for stow in archive.stows] == [["Bearer old"], ["Bearer new"]]
            assert {value for look in archive.looks for value in look.all("authorization")} == {"Bearer new"}
            assert box.condition_names() == set()


async def test_a_credential_that_stays_wrong_is_a_fault_that_heals_by_itself(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    async with scripted_archive() as (archive, _):

        def strict(stow: Stow) -> Reply:
            return archive.store_all(stow) if stow.asked.all("authorization") == ["Bearer new"] else Reply(401)

        archive.on_store = strict
        async with forwarding(tmp_path, destination(archive.url, commitment=SEARCH) + bearer(token)) as box:
            await box.take_made(*(named(n) for n in range(1, 9)))
            await box.until(lambda: box.stands().state is DestinationState.AUTH_FAULT)
            await box.until(lambda: box.condition_names() == {"auth-fault:archive"})
            assert box.stands().phase == "auth"
            for _ in range(5):
                await box.pass_time(400)
            assert box.at() == {"held": 8}
            token.write_text("new\n")
            await box.until(lambda: box.at() == {"committed": 8}, step_s=100)
            assert box.condition_names() == set()
            assert box.stands().state is DestinationState.UP


async def test_a_credential_file_that_is_gone_is_an_authentication_fault(tmp_path: Path) -> None:
    token = tmp_path / "token"
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH) + bearer(token)) as box,
    ):
        await box.take_made(named(1))
        await box.until(lambda: box.stands().state is DestinationState.AUTH_FAULT)
        assert archive.stows == []
        token.write_text("there\n")
        await box.until(lambda: box.at() == {"committed": 1}, step_s=100)
        await box.until(lambda: box.condition_names() == set())


async def test_404_for_all_holds_everything_and_heals(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda _: Reply(404, b"<html>Not Found</html>", HTML)
        archive.on_look = lambda _: Reply(404)
        await box.take_made(*(named(n) for n in range(1, 9)))
        await box.until(lambda: box.stands().state is DestinationState.HELD)
        await box.until(lambda: box.condition_names() == {"refused:archive"})
        for _ in range(12):
            await box.pass_time(400)
        assert box.at() == {"held": 8}
        assert len({stow.uids[0] for stow in archive.stows[-8:]}) > 4, "the probes do not rotate"
        archive.on_store, archive.on_look = archive.store_all, archive.show
        await box.until(lambda: box.at() == {"committed": 8}, step_s=400)
        await box.until(lambda: box.condition_names() == set())


async def test_403_for_one_body_makes_that_one_doubtful_and_not_the_destination(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        bad = named(1).instance
        archive.on_store = lambda stow: Reply(403) if bad in stow.uids else archive.store_all(stow)
        await box.take_made(*(named(n) for n in range(1, 9)))
        await box.until(lambda: box.at() == {"held": 1, "committed": 7}, step_s=10)
        await box.take_made(*(named(n) for n in range(10, 19)))
        await box.until(lambda: box.at() == {"held": 1, "committed": 16}, step_s=10)
        await box.until(lambda: box.stands().state is DestinationState.UP)


async def test_a_store_right_that_comes_late_finds_nothing_waiting_for_hours(tmp_path: Path) -> None:
    """Search passes and store is forbidden: what was doubted for it goes as soon as another one passes."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda _: Reply(403)
        await box.take_made(*(named(n) for n in range(1, 6)))
        for _ in range(30):
            await box.pass_time(400)
        assert box.at() == {"held": 5}
        archive.on_store = archive.store_all
        await box.take_made(named(9))
        await box.until(lambda: box.at() == {"committed": 6}, step_s=100)


@pytest.mark.parametrize(
    ("status", "condition"),
    [
        (405, "misconfigured"),
        (411, "misconfigured"),
        (302, "moved"),
        (407, "proxy-auth-fault"),
        (418, "unexpected-answer"),
    ],
)
async def test_what_only_the_settings_cure_holds_and_parks_nothing(tmp_path: Path, status: int, condition: str) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda _: Reply(status, headers=(("location", "http://elsewhere.example/"),))
        await box.take_made(*(named(n) for n in range(1, 9)))
        await box.until(lambda: box.condition_names() == {f"{condition}:archive"})
        for _ in range(8):
            await box.pass_time(400)
        assert box.at() == {"held": 8}
        assert box.stands().state is not DestinationState.UP
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"committed": 8}, step_s=400)
        assert box.condition_names() == set()


async def test_400_for_all_parks_nothing(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda _: Reply(400)
        await box.take_made(*(named(n) for n in range(1, 9)))
        await box.until(lambda: box.condition_names() == {"misconfigured:archive"} or bool(box.condition_names()))
        for _ in range(20):
            await box.pass_time(400)
        assert box.at() == {"held": 8}
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"committed": 8}, step_s=400)


async def test_406_is_asked_in_xml_and_remembered(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):

        def old(stow: Stow) -> Reply:
            if stow.asked.all("accept") == [JSON]:
                return Reply(406)
            archive.keep(stow)
            items = "".join(
                '<Item number="1"><DicomAttribute tag="00081155" vr="UI"><Value number="1">'
                f"{uid}</Value></DicomAttribute></Item>"
                for uid in stow.uids
            )
            body = (
                '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'
                f'<DicomAttribute tag="00081199" vr="SQ">{items}</DicomAttribute></NativeDicomModel>'
            )
            return Reply(200, body.encode(), (("content-type", "application/dicom+xml"),))

        archive.on_store = old
        async with forwarding(tmp_path, destination(archive.url, commitment=SEARCH, parallel="1")) as box:
            for number in range(1, 4):
                await box.take_made(named(number))
                await box.until(lambda number=number: box.at() == {"committed": number})  # type: ignore[misc]
            accepts = [stow.asked.all("accept")[0] for stow in archive.stows]
            assert accepts == [JSON, *["application/dicom+xml"] * 3]


async def test_a_passing_406_teaches_an_archive_of_json_nothing(tmp_path: Path) -> None:
    """XML is remembered only once it was answered; where it is refused, JSON is asked for again."""
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda _: Reply(406)
        keys = {"commitment": SEARCH, "parallel": "1"}
        async with forwarding(tmp_path, destination(archive.url, **keys)) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.condition_names() == {"misconfigured:archive"})
            archive.on_store = lambda stow: (
                archive.store_all(stow) if stow.asked.all("accept") == [JSON] else Reply(406)
            )
            refused = len(archive.stows)
            await box.until(lambda: box.at() == {"committed": 1}, step_s=400)
            assert [stow.asked.all("accept") for stow in archive.stows[refused:]] == [[JSON]]
            assert box.condition_names() == set()


async def test_an_archive_that_was_replaced_by_one_of_json_is_asked_for_json(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):
        wanted = "application/dicom+xml"
        archive.on_store = lambda stow: archive.store_all(stow) if stow.asked.all("accept") == [wanted] else Reply(406)
        async with forwarding(tmp_path, destination(archive.url, commitment=SEARCH, parallel="1")) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.at() == {"committed": 1})
            wanted = JSON
            for number in (2, 3):
                await box.take_made(named(number))
                await box.until(lambda number=number: box.at() == {"committed": number})  # type: ignore[misc]
            accepts = [stow.asked.all("accept")[0] for stow in archive.stows]
            assert accepts == [JSON, "application/dicom+xml", "application/dicom+xml", JSON, JSON]


async def test_307_is_followed_on_the_same_host(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):

        def moved(stow: Stow) -> Reply:
            if stow.asked.path == f"{BASE}/studies":
                return Reply(307, headers=(("location", f"{BASE}/other/studies"),))
            return archive.store_all(stow)

        archive.on_store = moved
        async with forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.at() == {"committed": 1})
            assert [stow.asked.path for stow in archive.stows] == [f"{BASE}/studies", f"{BASE}/other/studies"]


async def test_html_with_200_is_no_evidence(tmp_path: Path) -> None:
    """A captive portal: nothing moves forward, however often it says yes."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH, visible_within='"1m"')) as box,
    ):
        portal = Reply(200, b"<html>Welcome</html>", HTML)
        archive.on_store = lambda _: portal
        archive.on_look = lambda _: portal
        await box.take_made(*(named(n) for n in range(1, 5)))
        for _ in range(60):
            await box.pass_time(60)
        assert box.at() == {"held": 4}
        await box.until(lambda: "cannot-prove:archive" in box.condition_names())
        assert max(archive.sent_uids.count(named(n).instance) for n in range(1, 5)) == 1
        archive.on_store, archive.on_look = archive.store_all, archive.show
        await box.until(lambda: box.at() == {"committed": 4}, step_s=3600)
        await box.until(lambda: box.condition_names() == set())


async def test_a_report_about_others_is_no_evidence(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda _: report(["1.2.3.4.5"])
        await box.take_made(named(1))
        for _ in range(10):
            await box.pass_time(30)
        assert box.at() == {"held": 1}


async def test_what_is_looked_for_has_the_path_of_the_instance(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):

        def lying(stow: Stow) -> Reply:
            archive.keep(stow)
            return Reply(200)

        archive.on_store = lying
        async with forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.at() == {"committed": 1})
            assert box.delivery(named(1).instance).evidence == "found"
            first: Asked = archive.looks[0]
            assert first.path == f"{BASE}{named(1).path}/metadata"
            assert first.all("accept") == [JSON]
