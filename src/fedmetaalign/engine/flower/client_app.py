"""The device's end: a Flower ClientApp that answers with its own table, and keeps its state in files.

The node's configuration says who it is: `name`, `table` (a file, or several paths, a line each) and `state` (a
folder of the device's own; its bundle is made there, in `bundle`).
"""

import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from threadpoolctl import threadpool_limits

from fedmetaalign.engine.device_runner import DeviceRunner, Outputs, learner_of
from fedmetaalign.engine.flower import rehearsal, replies
from fedmetaalign.engine.flower.requests import Header, read_header, read_request
from fedmetaalign.engine.flower.wire import WireError
from fedmetaalign.errors import BundleError, DataError, FedMetaAlignError
from fedmetaalign.federation.memory import Memory
from fedmetaalign.federation.messages import Finish
from fedmetaalign.fleet.device import Device
from fedmetaalign.fleet.local_device import build_device, hello, read_table, told
from fedmetaalign.fleet.shared import Shared
from fedmetaalign.gateways import processes
from fedmetaalign.methods import find
from fedmetaalign.phases.client import Client
from fedmetaalign.tinyml import features

app = ClientApp()

_WHERE_IT_IS_REPORTED = "what is wrong with it is reported beside the device, and in its supernode.log"


@app.query("introduce")
def say_hello(message: Message, context: Context) -> Message:
    """Says who the device is, and whether its table can be used."""

    def content(name: str, header: Header) -> RecordDict:
        recipe = header.recipe
        table = read_table(recipe, name, *_tables(context))
        for sentence in told(recipe, table):  # what its cells say, and its times, stay on the device
            _tell(sentence)
        mine = hello(recipe, table)  # raises where the table is too small, so that this is known of now
        if recipe.fleet.scaling == "device":
            device, _ = build_device(recipe, table, Shared().place(mine, recipe.model))
            _check_features(device)
            rehearsal.note(recipe, device)
        return replies.write_hello(name, header.run, mine)

    return _reply(message, context, content)


@app.train("visit")
@app.train("train")
@app.train("score")
@app.train("finish")
def train(message: Message, context: Context) -> Message:
    """Does a phase's step on the device."""

    def content(name: str, header: Header) -> RecordDict:
        recipe, state = header.recipe, Path(_configured(context, "state"))
        request, place = read_request(message.content, recipe.model)
        table = read_table(recipe, name, *_tables(context))
        device, test = build_device(recipe, table, place)
        _check_features(device)
        client = Client(recipe, device, learner_of(recipe, place.target), Memory(state / "runs" / header.run))
        runner = DeviceRunner(client, find(recipe.method), Outputs(test, state / "bundle"))
        with threadpool_limits(1, "blas"):  # as in every engine, so that the numbers are the same
            found = replies.write_reply(name, header.run, request, runner.answer(request))
        if isinstance(request, Finish):  # before which the server has kept the last round: none is asked again
            shutil.rmtree(state / "runs" / header.run, ignore_errors=True)
        return found

    return _reply(message, context, content)


def _reply(message: Message, context: Context, content: Callable[[str, Header], RecordDict]) -> Message:
    """Replies with content made for the device's name, or with what is wrong."""
    processes.end_with_parent()
    name = str(context.node_config.get("name", ""))
    try:
        _configured(context, "name")
        header = read_header(message.content)
        if header.device not in ("", name):
            raise WireError(f"The server took this device for {header.device!r}.")
        found = content(name, header)
    except DataError as error:
        # It may quote the table, or tell its moments, which do not leave the device.
        found = replies.refuse(name, f"Its table cannot be used: {_WHERE_IT_IS_REPORTED}.")
        _tell(str(error))
    except FedMetaAlignError as error:
        found = replies.refuse(name, str(error))
        _tell(str(error))
    except Exception as error:  # nor does whatever else an error may hold
        found = replies.refuse(name, f"It failed with {type(error).__name__}: {_WHERE_IT_IS_REPORTED}.")
        traceback.print_exc()
        _tell(f"{type(error).__name__}: {error}")
    return Message(found, reply_to=message)


def _tell(news: str) -> None:
    """Tells whoever is beside the device, who reads what `supernode` makes of its log."""
    sys.stderr.write(f"{processes.REPORTED}{' '.join(news.split())}\n")
    sys.stderr.flush()


def _check_features(device: Device) -> None:
    """Raises a DataError where the microcontroller could not tell the values of a feature apart."""
    try:
        features.check(device.preparation, device.inputs)
    except BundleError as error:
        raise DataError(str(error)) from None


def _tables(context: Context) -> list[Path]:
    return [Path(line) for line in _configured(context, "table").split("\n")]


def _configured(context: Context, key: str) -> str:
    value = context.node_config.get(key)
    if not isinstance(value, str) or not value:
        raise WireError(f"The node's configuration lacks '{key}': start it with `fedmetaalign device`.")
    return value
