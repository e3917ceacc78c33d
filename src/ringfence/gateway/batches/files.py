"""/v1/files: what batches are made from, and what they leave behind."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from time import time
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.errors import BadRequest, Gone, NotFound, TooLarge
from ringfence.gateway.batches.desk import RowsDesk, answer
from ringfence.gateway.batches.settings import BatchSettings, keep_of
from ringfence.gateway.batches.told import listed, shown_file
from ringfence.gateway.batches.upload import parts_of, read_upload
from ringfence.gateway.desk import is_rising, limit_of, query_of
from ringfence.gateway.openapi import SENT, STORED, answers, in_path, in_query, operation
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.request import Request
from ringfence.gateway.route import LOOK
from ringfence.gateway.step import Waiter
from ringfence.routing.standing import standing
from ringfence.store.files import File, FileRows, FilesFull, InUse
from ringfence.store.sealing import Unreadable

PURPOSE = "batch"
SENT_BYTES = 1024 * 1024
MOST_LISTED = 10_000


class Files(RowsDesk):
    """Each file is its key's alone."""

    prefix = "/v1/files"
    what = "a file"

    def __init__(
        self,
        pipeline: Pipeline,
        rows: FileRows,
        settings: Callable[[], BatchSettings],
        wall: Callable[[], float] = time,
    ) -> None:
        self._pipeline = pipeline
        self._rows = rows
        self._settings = settings
        self._wall = wall

    def methods(self, path: str) -> tuple[bytes, ...]:
        rest = self.rest(path)
        if rest is None or len(rest) > 2 or (len(rest) == 2 and rest[1] != "content"):
            return ()
        if not rest:
            return (*LOOK, b"POST")
        return (*LOOK, b"DELETE") if len(rest) == 1 else LOOK

    def described(self) -> Mapping[str, Any]:
        form = {
            "type": "object", "required": ["file", "purpose"],
            "properties": {
                "file": {"type": "string", "format": "binary"}, "purpose": {"type": "string", "enum": [PURPOSE]},
            },
        }  # fmt: skip
        sent = operation("Send a file of lines for a batch.", answers(SENT))
        sent["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
        shown = [in_query("limit", "integer"), *map(in_query, ("after", "order", "purpose"))]
        listed = operation("The files of this key.", answers(STORED)) | {"parameters": shown}
        one = [in_path("file_id")]
        return {
            self.prefix: {"get": listed, "post": sent},
            f"{self.prefix}/{{file_id}}": {
                "get": operation("One file, without its text.", answers(STORED)),
                "delete": operation("Forget it.", answers(STORED)), "parameters": one,
            },
            f"{self.prefix}/{{file_id}}/content": {
                "get": operation("Its text.", answers(STORED, 410)), "parameters": one,
            },
        }  # fmt: skip

    async def serve_rest(self, request: Request, rest: list[str]) -> None:
        if not rest:
            await (self._add(request) if request.method == b"POST" else self._list(request))
            return
        file = await self._rows.find(rest[0][:64], request.identity.id, self._wall())
        if file is None:
            raise NotFound(f"No such File object: {rest[0][:64]}", param="id")
        if len(rest) == 2:
            await self._send(request, file)
        elif request.method == b"DELETE":
            await self._delete(request, file)
        else:
            answer(request, shown_file(file))

    async def _add(self, request: Request) -> None:
        upload = await read_upload(request.head.header(b"content-type") or b"", request.body)
        request.body = b""
        if upload.text is None:
            raise BadRequest("'file' is a required property", param="file", code="missing_required_parameter")
        if upload.fields.get("purpose") != PURPOSE:
            raise BadRequest(f"'purpose' must be '{PURPOSE}'.", param="purpose", code="invalid_value")
        settings, now_s = self._settings(), self._wall()
        anchor, seconds = (upload.fields.get(f"expires_after[{name}]") for name in ("anchor", "seconds"))
        keep_s = keep_of(anchor, seconds, settings.keep_s)
        file = File(
            f"file-{secrets.token_hex(12)}", request.identity.id, PURPOSE, upload.filename, len(upload.text),
            int(self._reach(request)), now_s, now_s + keep_s,
        )  # fmt: skip
        try:
            file = await self._rows.add(file, parts_of(upload.text), settings.most_bytes)
        except FilesFull:
            raise TooLarge(
                "All files together would be larger than may be kept (batches.most_bytes); delete some.",
                code="files_full",
            ) from None
        answer(request, shown_file(file))

    def _reach(self, request: Request) -> Boundary:
        """How far this text may travel, whatever is allowed later."""
        head = request.head
        key = request.identity
        return standing(self._pipeline.settings.house, key.profile, head.agent, head.profile, key.agent).boundary

    async def _list(self, request: Request) -> None:
        query = query_of(request)
        most = limit_of(query, MOST_LISTED, MOST_LISTED)
        rows = await self._rows.listed(
            request.identity.id, self._wall(), most=most + 1, after=query.get("after", "")[:64],
            purpose=query.get("purpose", "")[:64], is_rising=is_rising(query),
        )  # fmt: skip
        answer(request, listed([shown_file(row) for row in rows[:most]], has_more=len(rows) > most))

    async def _delete(self, request: Request, file: File) -> None:
        try:
            await self._rows.delete(file)
        except InUse:
            raise BadRequest(
                "A batch still works with this file; cancel the batch first.", code="file_in_use", param="id"
            ) from None
        answer(request, {"id": file.id, "object": "file", "deleted": True})

    async def _send(self, request: Request, file: File) -> None:
        """As it is on the disk, at the pace of who reads it."""
        head = b"content-type: application/octet-stream\r\n"
        if request.method == b"HEAD":
            request.answer(200, head, b"")
            return
        try:
            found = await self._rows.read(file, -1, SENT_BYTES)
            if len(found) == 0 or file.size_bytes <= sum(len(text) for _, text in found):
                request.answer(200, head, b"".join(text for _, text in found))
                return
            pace = Pace(request)
            request.begin(200, head)
            while found and not request.is_gone:
                for _, text in found:
                    request.put(text)
                await pace.ready()
                found = await self._rows.read(file, found[-1][0], SENT_BYTES)
        except Unreadable:
            raise Gone(
                "This file cannot be read any more: the key that it was sealed with is lost.", code="file_unreadable"
            ) from None
        request.close()


class Pace:
    """Waits while the other side takes nothing."""

    def __init__(self, request: Request) -> None:
        self._waiter: Waiter[None] | None = None
        request.on_pause, request.on_resume = self._pause, self._resume

    async def ready(self) -> None:
        if self._waiter is not None:
            await self._waiter

    def _pause(self) -> None:
        if self._waiter is None:
            self._waiter = Waiter()

    def _resume(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.wake(None)
