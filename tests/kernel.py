"""A Jupyter kernel for several notebooks, since each new one would import TensorFlow again."""

import contextlib

import nbformat
from nbclient import NotebookClient

from siamese_mrcnn import trial

NO_TRIAL = {trial.SWITCH: "0"}
LONGEST_CELL = 600  # seconds, of a machine that is busy with other things
# A notebook finds nothing of the one before, but for what installed packages keep in memory.
CLEAN = """
%reset -f
import gc, os, sys
os.chdir({folder!r})
os.environ.update({environment!r})
for name, module in list(sys.modules.items()):
    known = vars(module)  # asking for what is missing would make some modules load it
    if {local!r} in f"{{known.get('__file__')}} {{known.get('__path__')}}":
        del sys.modules[name]
gc.collect()
%reset -f
"""


class Kernel:
    """Runs notebooks one after another.

    Args:
        client: a `NotebookClient` whose kernel runs.
        local: folder below which lie modules that each notebook imports anew.
    """

    def __init__(self, client, local):
        self._client, self._local = client, str(local)

    def execute(self, notebook, folder, environment=NO_TRIAL):
        """Run a notebook in a folder; its cells have their outputs afterwards."""
        clean = nbformat.v4.new_code_cell(
            CLEAN.format(folder=str(folder), environment=environment, local=self._local)
        )
        self._client.nb = nbformat.v4.new_notebook(cells=[clean, *notebook.cells])
        self._client.reset_execution_trackers()
        for index, cell in enumerate(self._client.nb.cells):
            self._client.execute_cell(cell, index)


@contextlib.contextmanager
def running_kernel(local):
    """A `Kernel` that ends with the context."""
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=LONGEST_CELL)
    with client.setup_kernel():
        yield Kernel(client, local)
