"""Reads pickles from strangers: builds plain data and arrays, and calls nothing else.

A pickle is a program. Python's own reader runs it with whatever functions the program names, so a
file may erase a disk as well as hold weights. This reader knows the instructions of plain data
(dicts, lists, tuples, strings, bytes, numbers) and a table of builders, functions of ours that
stand in for the few names that a weights file needs. Any other name ends the reading with a
sentence that says it. Nothing is imported, and no attribute of any object is set.

`pickletools` of the standard library takes the file apart into instructions; strings of Python 2
become str by way of Latin-1, which keeps every byte.
"""

import pickletools
from dataclasses import dataclass

from mrcnn.weights.hdf5 import WeightsError

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
PUSH_ARGUMENT = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE SHORT_BINUNICODE "
    "BINUNICODE8".split()
)
IGNORED = frozenset(("PROTO", "FRAME"))
LONGEST_NAME = 200  # characters, in sentences
KEYS = (str, bytes, int, float, type(None))  # their hashes cost nothing, a nested tuple's does


class UnsafePickleError(WeightsError):
    """A pickle that asks for more than weights need; nothing of what it asks for is done."""


@dataclass(frozen=True)
class Builder:
    """What a pickle may call in place of a function or class that it names."""

    name: str
    build: object  # function of the arguments in the pickle


def read_pickle(file, source, builders, states=None, persistent=None):
    """The value of the pickle at the file's position, which is left behind the pickle.

    Args:
        file: binary file with `read`, which returns less where the file ends, and `readline`:
            `io.BytesIO` or `mmap.mmap`, whose memory does not grow with what a pickle claims.
        source: the file's name, for sentences.
        builders: {(module, name): `Builder`, or a value that stands in for the name}.
        states: {type of an object: function(object, state)}, for objects which builders made.
        persistent: function of what the pickle says about an object kept outside of it.

    Raises:
        UnsafePickleError: it asks for a name, an instruction or a state beyond these.
        WeightsError: it is no pickle, or a broken one.
    """
    machine = _Machine(source, builders, states or {}, persistent)
    try:
        for instruction, argument, _ in pickletools.genops(file):
            machine.run(instruction.name, argument)
        return machine.pop()
    except WeightsError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise WeightsError(
            f"{source} is not a complete pickle ({error}). It may be truncated or of another "
            "kind: fetch or copy it again."
        ) from error


class _Machine:
    """The stack and the memo of a pickle while it is read."""

    def __init__(self, source, builders, states, persistent):
        self.source, self.builders, self.states = source, builders, states
        self.persistent = persistent
        self.stack, self.outer, self.memo = [], [], {}

    def run(self, name, argument):
        """Carry out one instruction."""
        if name in PUSH_ARGUMENT:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name not in IGNORED:
            method = getattr(self, f"do_{name.lower()}", None)
            if method is None:
                self.refuse(f"the pickle instruction {name}")
            method(argument)

    def refuse(self, request):
        raise UnsafePickleError(
            f"{self.source} asks for {request}, which no weights file needs. Nothing was "
            "executed. Do not open this file with other programs, and fetch it from a source "
            "that you trust."
        )

    # --- stack and memo ---

    def pop(self):
        if not self.stack:
            raise ValueError("an instruction finds nothing to work on")
        return self.stack.pop()

    def top(self, kind):
        """The value on top, which must be of this type."""
        value = self.pop()
        if type(value) is not kind:
            raise ValueError(f"expected a {kind.__name__}, found a {type(value).__name__}")
        self.stack.append(value)
        return value

    def since_mark(self):
        """The values since the last mark, taken off the stack."""
        if not self.outer:
            raise ValueError("an instruction finds no mark")
        values, self.stack = self.stack, self.outer.pop()
        return values

    def do_mark(self, _):
        self.outer.append(self.stack)
        self.stack = []

    def do_pop(self, _):
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def do_pop_mark(self, _):
        self.since_mark()

    def do_dup(self, _):
        self.stack += [self.pop()] * 2

    def do_stop(self, _):
        if len(self.stack) != 1 or self.outer:
            raise ValueError("it ends with values left over")

    def do_put(self, index):
        self.memo[index] = value = self.pop()
        self.stack.append(value)

    do_binput = do_long_binput = do_put

    def do_memoize(self, _):
        self.do_put(len(self.memo))

    def do_get(self, index):
        if index not in self.memo:
            raise ValueError(f"nothing was kept as number {index}")
        self.stack.append(self.memo[index])

    do_binget = do_long_binget = do_get

    # --- containers ---

    def do_tuple(self, _):
        values = self.since_mark()
        self.stack.append(tuple(values))

    def do_tuple1(self, _):
        self._pack(1)

    def do_tuple2(self, _):
        self._pack(2)

    def do_tuple3(self, _):
        self._pack(3)

    def _pack(self, count):
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(values)))

    def do_list(self, _):
        values = self.since_mark()
        self.stack.append(values)

    def do_append(self, _):
        value = self.pop()
        self.top(list).append(value)

    def do_appends(self, _):
        values = self.since_mark()
        self.top(list).extend(values)

    def do_dict(self, _):
        values = self.since_mark()
        self.stack.append({})
        self._set_items(values)

    def do_setitem(self, _):
        value, key = self.pop(), self.pop()
        self._set_items([key, value])

    def do_setitems(self, _):
        self._set_items(self.since_mark())

    def _set_items(self, values):
        target = self.top(dict)
        if len(values) % 2 or not all(isinstance(key, KEYS) for key in values[::2]):
            raise ValueError("expected pairs of a name or number and a value")
        target.update(zip(values[::2], values[1::2], strict=True))

    # --- names: where a pickle could do harm ---

    def find(self, module, name):
        """What stands in for a name; refuses every name that is not in the table."""
        if type(module) is not str or type(name) is not str:
            self.refuse("a name that is not text")
        if (module, name) not in self.builders:
            self.refuse(_printable(f"{module}.{name}"))
        return self.builders[module, name]

    def build(self, builder, arguments):
        if not isinstance(builder, Builder) or type(arguments) is not tuple:
            self.refuse(f"a call of a {type(builder).__name__}")
        try:
            self.stack.append(builder.build(*arguments))
        except TypeError as error:
            raise ValueError(f"{builder.name} cannot be built: {error}") from error

    def do_global(self, argument):
        self.stack.append(self.find(*argument.split(" ", 1)))

    def do_stack_global(self, _):
        name, module = self.pop(), self.pop()
        self.stack.append(self.find(module, name))

    def do_inst(self, argument):
        arguments = tuple(self.since_mark())
        self.build(self.find(*argument.split(" ", 1)), arguments)

    def do_reduce(self, _):
        arguments, builder = self.pop(), self.pop()
        self.build(builder, arguments)

    def do_build(self, _):
        state, target = self.pop(), self.pop()
        if type(target) not in self.states:
            self.refuse(f"a change of a {type(target).__name__}")
        self.states[type(target)](target, state)
        self.stack.append(target)

    def do_binpersid(self, _):
        self.do_persid(self.pop())

    def do_persid(self, identity):
        if self.persistent is None:
            self.refuse("an object that is kept outside of the pickle")
        self.stack.append(self.persistent(identity))


def _printable(text):
    """Text of a stranger, without what would move a terminal's cursor, and not too long."""
    return "".join(each if each.isprintable() else "?" for each in text[:LONGEST_NAME])
