"""Look into weights files and convert them between the originals' layout and Keras 3's."""

from pathlib import Path

from siamese_mrcnn.commands import common


def add_arguments(parser):
    actions = parser.add_subparsers(metavar="inspect|convert", required=True, dest="action")
    shared = [common.shared_arguments()]
    inspect = actions.add_parser("inspect", help="say what a file holds", parents=shared)
    inspect.add_argument("file", metavar="FILE")
    inspect.add_argument("--tensors", action="store_true", help="list every tensor")
    convert = actions.add_parser("convert", help="write a file in the other layout", parents=shared)
    convert.add_argument("source", metavar="IN")
    convert.add_argument("target", metavar="OUT")
    convert.add_argument(
        "--layout",
        choices=("original", "keras"),
        help="original: readable by the original programs; keras: a .weights.h5 file of Keras 3 "
        "(default: as the name of OUT says)",
    )


def run(arguments):
    common.load_backend(arguments)
    {"inspect": _inspect, "convert": _convert}[arguments.action](arguments)


def _inspect(arguments):
    from mrcnn.checkpoints import epoch_of
    from mrcnn.weights import read_weights
    from siamese_mrcnn.evaluation_log import file_fingerprint
    from siamese_mrcnn.weights_info import KINDS, describe

    tensors = read_weights(arguments.file)
    info, epoch = describe(tensors), epoch_of(arguments.file)
    print(f"{arguments.file}: {KINDS[info.kind]}, {info.backbone}")
    for name, value in (
        ("size", f"{Path(arguments.file).stat().st_size / 1e6:.1f} MB"),
        ("sha256", file_fingerprint(arguments.file)),
        ("tensors", info.tensors),
        ("parameters", f"{info.parameters:,}"),
        ("pyramid channels", info.pyramid_channels),
        ("box head's size", info.hidden_size),
        ("classes", info.num_classes and f"{info.num_classes}, background included"),
        ("masks", "yes" if info.has_masks else "no"),
        ("epoch", epoch),
    ):
        if value is not None:
            print(f"  {name:17} {value}")
    for name, array in tensors.items() if arguments.tensors else ():
        print(f"  {name:40} {tuple(array.shape)}")


def _convert(arguments):
    from siamese_mrcnn.weights_info import KINDS, convert

    info = convert(arguments.source, arguments.target, arguments.layout)
    print(f"{arguments.target}: {KINDS[info.kind]}, {info.backbone}, {info.tensors} tensors")
