"""Files become cells, whatever program wrote them."""

from fedmetaalign.fleet.files.dialect import Options as Options
from fedmetaalign.fleet.files.loading import CERTAIN as CERTAIN
from fedmetaalign.fleet.files.loading import columns as columns
from fedmetaalign.fleet.files.loading import glanced as glanced
from fedmetaalign.fleet.files.loading import load as load
from fedmetaalign.fleet.files.loading import pieces as pieces
from fedmetaalign.fleet.files.raw import Raw as Raw
from fedmetaalign.fleet.files.raw import cells as cells
from fedmetaalign.fleet.files.raw import coded as coded
from fedmetaalign.fleet.files.raw import filled as filled
from fedmetaalign.fleet.files.raw import listed as listed
from fedmetaalign.fleet.files.raw import parse as parse
from fedmetaalign.fleet.files.raw import require as require
from fedmetaalign.fleet.files.raw import require_all as require_all
from fedmetaalign.fleet.files.raw import wrong_cells as wrong_cells
from fedmetaalign.fleet.files.source import sha256 as sha256
