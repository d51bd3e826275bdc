"""GET /admin/explain/{uid}: all that is known of an instance, a study, a series or a conflict.

The answer may hold what a peer said in its own words: it is for the role admin alone, and nobody keeps it.
"""

from http import HTTPStatus

from edged.origin.admin import answered, unknown
from edged.origin.exchange import Reply, Request, refusal
from edged.services.explaining import Explaining
from edged.services.explaining_study import MOST_OFFSET, MOST_SHOWN, ExplainingStudy

_DIGITS = 9


class Explain:
    """Answers what is asked of one UID."""

    def __init__(self, instances: Explaining, studies: ExplainingStudy) -> None:
        self._instances = instances
        self._studies = studies

    async def __call__(self, request: Request) -> Reply:
        """Answer with what is known; raises Refusal (400, 404)."""
        uid = request.params["uid"]
        found = await self._instances.instance(uid)
        if found is not None:
            return answered(found)
        offset = _number(request, "offset", most=MOST_OFFSET)
        limit = _number(request, "limit", most=MOST_SHOWN)
        study = await self._studies.study(uid, offset=offset or 0, limit=MOST_SHOWN if limit is None else limit)
        if study is not None:
            return answered(study)
        detail = "Nothing is known under this UID: it is of no instance, study or series that is or was stored here."
        raise unknown(uid, detail)


def _number(request: Request, name: str, *, most: int) -> int | None:
    text = request.query.single(name)
    if text is None or (text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text) <= most):
        return None if text is None else int(text)
    raise refusal(HTTPStatus.BAD_REQUEST, f"{name} is a number up to {most}.")
