"""Look into weights files, write them in another program's format, or halve them."""

from pathlib import Path

from siamese_mrcnn.commands import common

WRITTEN = ("original", "keras", "pytorch")  # of `mrcnn.converters.formats`
READ_ONLY = ("detectron", "numpy")


def add_arguments(parser):
    actions = parser.add_subparsers(metavar="inspect|convert|halve", required=True, dest="action")
    shared = [common.shared_arguments()]
    inspect = actions.add_parser("inspect", help="say what a file holds", parents=shared)
    inspect.add_argument("file", metavar="FILE")
    inspect.add_argument("--tensors", action="store_true", help="list every tensor")
    convert = actions.add_parser(
        "convert", help="write a file in another program's format", parents=shared
    )
    convert.add_argument(
        "source",
        metavar="IN",
        help=".h5, .weights.h5, .pth (pytorch-mask-rcnn) or .pkl (Detectron), recognised by its "
        "content",
    )
    convert.add_argument(
        "target",
        metavar="OUT",
        help="its ending says the format: .h5 (the originals), .weights.h5 (Keras 3), .pth "
        "(pytorch-mask-rcnn; takes PyTorch)",
    )
    convert.add_argument(
        "--from", dest="source_format", choices=(*WRITTEN, *READ_ONLY), help="what IN must be"
    )
    convert.add_argument(
        "--to",
        "--layout",
        dest="target_format",
        choices=WRITTEN,
        help="what OUT shall be (default: as its name says)",
    )
    convert.add_argument(
        "--backbone", metavar="NAME", help="what IN must have, say resnet50 (default: any)"
    )
    convert.add_argument(
        "--classes",
        type=common.positive,
        metavar="N",
        help="how many classes IN must have, background included (default: any)",
    )
    convert.add_argument(
        "--report", metavar="FILE", help="write what became of every tensor, as JSON"
    )
    halve = actions.add_parser(
        "halve", help="copy an HDF5 file with its kernels in float16", parents=shared
    )
    halve.add_argument("source", metavar="IN")
    halve.add_argument("target", metavar="OUT")


def run(arguments):
    common.load_backend(arguments)
    from mrcnn.files import in_hand

    actions = {"inspect": _inspect, "convert": _convert, "halve": _halve}
    with in_hand(arguments.file if arguments.action == "inspect" else arguments.source):
        actions[arguments.action](arguments)


def _inspect(arguments):
    from mrcnn.converters.formats import format_of, tensor_shapes
    from mrcnn.weights.checkpoints import epoch_of
    from siamese_mrcnn.fingerprints import file_fingerprint
    from siamese_mrcnn.weights_info import KINDS, describe

    shapes = tensor_shapes(arguments.file)
    info, epoch = describe(shapes), epoch_of(arguments.file)
    print(f"{arguments.file}: {KINDS[info.kind]}, {info.backbone}")
    for name, value in (
        ("format", format_of(arguments.file)),
        ("size", f"{Path(arguments.file).stat().st_size / 1e6:.1f} MB"),
        ("sha256", file_fingerprint(arguments.file)),
        ("tensors", info.tensors),
        ("parameters", f"{info.parameters:,}"),
        ("conventions", None if info.kind == "backbone" else info.conventions),
        ("pyramid channels", info.pyramid_channels),
        ("box head's size", info.hidden_size),
        ("classes", info.num_classes and f"{info.num_classes}, background included"),
        ("masks", "yes" if info.has_masks else "no"),
        ("epoch", epoch),
    ):
        if value is not None:
            print(f"  {name:17} {value}")
    for name, shape in shapes.items() if arguments.tensors else ():
        print(f"  {name:40} {shape}")


def _convert(arguments):
    from mrcnn.converters.translate import ConversionError
    from siamese_mrcnn.weights_conversion import convert, write_report
    from siamese_mrcnn.weights_info import KINDS

    source, target = arguments.source, arguments.target
    try:
        done = convert(
            source,
            target,
            arguments.source_format,
            arguments.target_format,
            arguments.backbone,
            arguments.classes,
        )
    except ConversionError as error:
        if arguments.report:
            write_report(error.report, arguments.report, target=None)
        raise
    info = done.info
    print(f"{target}: {KINDS[info.kind]}, {info.backbone}, {info.tensors} tensors")
    print(done.report)
    if arguments.report:
        formats = {"source_format": done.source_format, "target_format": done.target_format}
        write_report(done.report, arguments.report, target=target, **formats)


def _halve(arguments):
    from mrcnn.weights.half_precision import halve

    halve(arguments.source, arguments.target)
    sizes = [Path(file).stat().st_size / 1e6 for file in (arguments.source, arguments.target)]
    print(f"{arguments.target}: {sizes[1]:.1f} MB instead of {sizes[0]:.1f} MB")
