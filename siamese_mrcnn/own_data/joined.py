"""Several sources of data as one, in which what is called the same is the same."""


def joined(sources):
    """One `OwnData` of several, whose images and annotations are numbered anew, in order.

    Args:
        sources: list of `siamese_mrcnn.own_data.pictures.OwnData`; a single one stays as it is.
    """
    if len(sources) == 1:
        return sources[0]
    names = [category["name"] for source in sources for category in source.content["categories"]]
    content = {"images": [], "annotations": [], "categories": _numbered(names)}
    number_of = {category["name"]: category["id"] for category in content["categories"]}
    for source in sources:
        _append(content, source.content, number_of)
    return sources[0]._replace(
        content=content,
        names={path: name for source in sources for path, name in source.names.items()},
        turned=frozenset().union(*(source.turned for source in sources)),
        notes=tuple(note for source in sources for note in source.notes),
        others=tuple(source.path for source in sources[1:]),
    )


def _numbered(names):
    """COCO's categories of these names, each once, from 1 on in order of first mention."""
    return [{"id": number, "name": name} for number, name in enumerate(dict.fromkeys(names), 1)]


def _append(content, other, number_of):
    renamed = {each["id"]: number_of[each["name"]] for each in other["categories"]}
    renumbered = {
        image["id"]: number
        for number, image in enumerate(other["images"], len(content["images"]) + 1)
    }
    content["images"] += [image | {"id": renumbered[image["id"]]} for image in other["images"]]
    content["annotations"] += [
        each
        | {
            "id": number,
            "image_id": renumbered[each["image_id"]],
            "category_id": renamed[each["category_id"]],
        }
        for number, each in enumerate(other["annotations"], len(content["annotations"]) + 1)
    ]
