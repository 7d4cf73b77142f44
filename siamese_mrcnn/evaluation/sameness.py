"""Two kinds of "same": another view of one thing, and another thing of its category.

Where annotations name the "thing" that they show, as those of `make-scenes`, an evaluation may ask
for either, and reports them apart:

- "thing": references show a thing that the image shows, in another image. Right is that thing;
  other things of its category are neither right nor wrong.
- "category": references show no thing that the image shows. Right is the whole category.
"""

import copy

THING = "thing"
KINDS = (THING, "category")


class SamenessError(ValueError):
    """Two kinds of "same" that the data set cannot tell apart."""


def require_things(dataset, classes, same):
    """Check that the data set says what `allowed_references` asks.

    Raises:
        SamenessError: it does not, or there is no such kind of "same".
    """
    if same not in KINDS:
        raise SamenessError(f'"same" must be "thing", "category" or None, but is {same!r}.')
    for image_id in map(int, dataset.image_ids):
        for class_id in set(dataset.classes_in(image_id)) & set(classes):
            if None in _things(dataset, image_id, class_id):
                raise SamenessError(
                    "To tell the same thing from another one of its category, every annotation "
                    'must name its "thing", but those of '
                    f"{dataset.source_image_link(image_id)} do not. Take scenes of make-scenes, or "
                    "evaluate without --same."
                )


def allowed_references(dataset, query, same):
    """What `sample_reference` takes as `allowed` for a query; None: any reference of its class."""
    shown = _things(dataset, query.image_id, query.class_id) if same else frozenset()
    if not shown:
        return None  # for a class that the image does not show both kinds are the same
    return lambda image_id, annotation_id: (
        (dataset.thing_of_instance(image_id, annotation_id) in shown) == (same == THING)
    )


def things_asked_for(truth, log, run, same):
    """The truth of one run, in which what was not asked for counts as a crowd.

    Those are all things of a category that no reference could be drawn for, since no other image
    shows the thing, or another one; and with "thing" all that no reference shows.

    Args:
        truth: pycocotools COCO object whose annotations name their "thing".
        log: `siamese_mrcnn.evaluation.progress_log.EvaluationLog`.
        run: number.
        same: "thing" or "category".
    """
    asked = {
        (image["image_id"], query["category_id"]): {
            truth.anns[each["annotation_id"]]["thing"] for each in query.get("references", ())
        }
        for image in log
        for query in image["queries"]
        if query["run"] == run
    }
    marked = []
    for each in truth.dataset["annotations"]:
        thing = each.get("thing")
        things = asked.get((each["image_id"], each["category_id"]), {thing})
        wanted = thing in things if same == THING else bool(things)
        marked.append(each if wanted else each | {"iscrowd": 1})
    wanted = copy.copy(truth)
    wanted.dataset = truth.dataset | {"annotations": marked}
    return wanted


def _things(dataset, image_id, class_id):
    """The things of a class that an image shows; None among them: one without a name."""
    thing_of = getattr(dataset, "thing_of_instance", lambda *_: None)
    return {thing_of(image_id, each) for each in dataset.instances_of(image_id, class_id)}
