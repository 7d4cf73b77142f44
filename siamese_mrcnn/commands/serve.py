"""Open the visual search: a page and a REST interface over one model in memory.

Draw a box around a thing in a photo and find it in others. /docs describes the interface. Needs
the extra `app`: pip install 'siamese-mask-rcnn[app]'. Ctrl-C ends it after what runs; once more, at
once.
"""

import logging
import socket
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from siamese_mrcnn.commands import common

HERE = ("127.0.0.1", "localhost", "::1")
BACKLOG = 512  # connections that wait to be accepted
KEEP_ALIVE = 5  # seconds that an idle connection stays open


def add_arguments(parser):
    common.add_weights_arguments(parser, default="photos")
    parser.add_argument(
        "--photos",
        nargs="+",
        metavar="FILE",
        help="pictures to offer for searching, or folders of them (default: with weights of "
        "the box, some to try)",
    )
    common.add_library_argument(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address (default: this machine's own)")
    parser.add_argument("--port", type=common.natural, default=8765, help="0: any that is free")
    parser.add_argument("--token", help="that requests to the interface must bring")
    parser.add_argument(
        "--queue", type=common.positive, default=128, metavar="N", help="pictures that may wait"
    )
    common.add_config_argument(parser)


def run(arguments):
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ImportError(
            f"The visual search needs {error.name}. Call pip install 'siamese-mask-rcnn[app]'."
        ) from error
    common.load_backend(arguments)
    from siamese_mrcnn.service.application import make_application

    if arguments.host not in HERE and arguments.token is None:
        print(
            f"siamese-mrcnn: whoever reaches {arguments.host} can search and change the library, "
            "as there is no --token.",
            file=sys.stderr,
        )
    logging.getLogger("siamese_mrcnn.service.requests").setLevel(logging.INFO)
    with (
        _listening(arguments) as listening,
        tempfile.TemporaryDirectory("-siamese-mrcnn") as folder,
    ):
        service = make_service(arguments, folder)
        application = make_application(service, arguments.token, arguments.host in HERE)
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=int(service.limits.seconds),
        )
        return _serve(uvicorn.Server(config), listening, arguments)


def make_service(arguments, folder):
    """The `Service` that the options ask for, its model warm.

    Args:
        arguments: of the command.
        folder: for what is uploaded, as long as it is read.
    """
    from siamese_mrcnn.commands.detect import find_images
    from siamese_mrcnn.search.library import ReferenceLibrary
    from siamese_mrcnn.service.application import Service
    from siamese_mrcnn.service.engine import Engine
    from siamese_mrcnn.service.limits import Limits
    from siamese_mrcnn.service.photos import examples_of, photos_of
    from siamese_mrcnn.service.uploads import Uploads

    limits = Limits(waiting=arguments.queue)
    photos = photos_of(find_images(arguments.photos)) if arguments.photos else None
    model = common.detection_model(arguments)
    photos = photos or examples_of(model.config.NAME)
    engine = Engine(model, limits)
    engine.warm_up()
    return Service(
        engine,
        Uploads(folder, limits),
        ReferenceLibrary(arguments.library),
        photos,
        limits,
        Path(arguments.weights).name,
    )


def _listening(arguments):
    """A socket at the address, before the model is loaded, which takes a while."""
    host, port = arguments.host, arguments.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise OSError(
            f"{host} with port {port} cannot be listened on: {error.strerror}. Choose another by "
            "--port; 0 takes any that is free."
        ) from error


def _serve(server, listening, arguments):
    """Serve until Ctrl-C or SIGTERM, both of which end what runs first."""
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    fragment = f"#token={quote(arguments.token)}" if arguments.token else ""
    print(f"Open http://{host}:{listening.getsockname()[1]}/{fragment}", flush=True)
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # which uvicorn raises again when all is done
        print("Stopped.")
    return 0 if server.started else 1
