"""Keep things by name, with the pictures that show them, to be searched for by `detect`."""

from mrcnn.harmless_text import for_terminal
from siamese_mrcnn.commands import common


def add_arguments(parser):
    actions = parser.add_subparsers(metavar="add|list|remove|rename", required=True, dest="action")
    shared = [common.shared_arguments()]
    add = actions.add_parser("add", help="add pictures of a thing, new or known", parents=shared)
    add.add_argument("name", metavar="NAME")
    add.add_argument("files", nargs="+", metavar="FILE", help="picture of the thing, cut close")
    add.add_argument(
        "--box",
        nargs="+",
        action="extend",
        type=common.box,
        metavar="Y1,X1,Y2,X2",
        help="where the thing is in each of the pictures, pixels",
    )
    show = actions.add_parser("list", help="say which things there are", parents=shared)
    remove = actions.add_parser("remove", help="remove a thing with its pictures", parents=shared)
    remove.add_argument("name", metavar="NAME")
    rename = actions.add_parser("rename", help="give a thing another name", parents=shared)
    rename.add_argument("old", metavar="OLD")
    rename.add_argument("new", metavar="NEW")
    for each in (add, show, remove, rename):
        common.add_library_argument(each)


def run(arguments):
    from siamese_mrcnn.search.library import ReferenceLibrary

    library = ReferenceLibrary(arguments.library)
    actions = {"add": _add, "list": _show, "remove": _remove, "rename": _rename}
    actions[arguments.action](library, arguments)


def _add(library, arguments):
    from siamese_mrcnn.search.reference import references_of

    library.add(arguments.name, references_of(arguments.files, arguments.box))
    shots = library.entry(arguments.name).shots
    counted = f"{shots} picture{'s' if shots > 1 else ''}"
    print(f"{for_terminal(arguments.name)}: {counted} in {for_terminal(library.folder)}")


def _show(library, arguments):
    from mrcnn.drawing.tables import Table

    things = library.entries().items()
    rows = [[name, each.added, each.weights or "-", str(each.shots)] for name, each in things]
    if rows:
        print(Table(["name", "added", "encoded by", "pictures"], rows, texts=3))
    else:
        print(f"{for_terminal(library.folder)} holds nothing yet.")


def _remove(library, arguments):
    library.remove(arguments.name)
    print(f"{for_terminal(arguments.name)} is removed.")


def _rename(library, arguments):
    library.rename(arguments.old, arguments.new)
    print(f"{for_terminal(arguments.old)} is now {for_terminal(arguments.new)}.")
