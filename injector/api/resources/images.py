"""``/images`` in the shape of Glance v2: records, and the upload of their bytes."""

from __future__ import annotations

from falcon import Response

from injector.api.http import ApiRequest, answer, done, send
from injector.api.operations.images import Images
from injector.api.views import images as views
from injector.api.views.viewpoint import Document


class ImageResource:
    def __init__(self, images: Images) -> None:
        self._images = images

    def on_get_collection(self, req: ApiRequest, resp: Response) -> None:
        asked, found = self._images.find(req.caller, req.parameters)
        facts = self._images.facts(found)
        document: Document = {
            "images": [views.detail(image, facts.get(image.id)) for image in found],
            "first": req.path,
            "schema": views.SCHEMA + "s",
        }
        if found and len(found) == asked.limit:
            document["next"] = req.seen.next_page(req.path, req.parameters, found[-1].id)[0]["href"]
        answer(resp, document)

    def on_post_collection(self, req: ApiRequest, resp: Response) -> None:
        image = self._images.create(req.caller, req.document())
        resp.location = f"{req.prefix}/v2/images/{image.id}"
        answer(resp, views.detail(image), 201)

    def on_get(self, req: ApiRequest, resp: Response, image_id: str) -> None:
        image = self._images.show(req.caller, image_id)
        answer(resp, views.detail(image, self._images.facts([image]).get(image.id)))

    def on_delete(self, req: ApiRequest, resp: Response, image_id: str) -> None:
        self._images.delete(req.caller, image_id)
        done(resp)

    def on_get_file(self, req: ApiRequest, resp: Response, image_id: str) -> None:
        """From the byte that a ``Range: bytes=N-`` names; 204 for an image without bytes, as Glance says it."""
        file = self._images.download(req.caller, image_id)
        if file is None:
            done(resp)
            return
        send(req, resp, file)

    def on_put_file(self, req: ApiRequest, resp: Response, image_id: str) -> None:
        self._images.upload(req.caller, image_id, req.upload())
        done(resp)
