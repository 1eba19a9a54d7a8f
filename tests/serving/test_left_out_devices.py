"""A device whose table cannot be used refuses itself over Flower, says why beside itself; the fleet goes on."""

import json

from fedmetaalign import recipe as recipes
from fedmetaalign.engine.flower.client_app import app as client_app
from fedmetaalign.fleet.export import write_devices
from fedmetaalign.gateways import processes
from fedmetaalign.integrations.flower_grid import InProcessGrid
from fedmetaalign.run import run
from fedmetaalign.serving.server_app import Settings, serve

SHORT = [
    "serial.rounds=1",
    "parallel.rounds=1",
    "personalize.epochs=1",
    "model.hidden=[4]",
    "evaluation.alone=false",
]


def test_the_fleet_goes_on_without_it_as_a_run_in_one_process_does(tmp_path, capfd, no_report):
    path = write_devices("feeder", 3, 250, 0, tmp_path / "fleet")
    spoilt = tmp_path / "fleet" / "feeder-02.csv"
    lines = spoilt.read_text(encoding="utf-8").splitlines()
    lines[5] = lines[5].rpartition(",")[0]
    spoilt.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    recipe = tmp_path / "fleet" / "short.toml"
    recipe.write_text(recipes.dump(recipes.load(str(path), SHORT)), encoding="utf-8")
    nodes = {
        name: {"name": name, "table": str(tmp_path / "fleet" / f"{name}.csv"), "state": str(tmp_path / name)}
        for name in ("feeder-00", "feeder-01", "feeder-02")
    }
    capfd.readouterr()
    with InProcessGrid(client_app, nodes) as grid:
        results = serve(grid, Settings(recipe=str(recipe), out=str(tmp_path / "run"), devices=3, wait=8.0))
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith(processes.REPORTED)]
    assert f"{spoilt}, line 6 has 8 cells where the header has 9 columns" in told[0]
    assert set(results["devices"]) == {"feeder-00", "feeder-01"}
    notices = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))["notices"]
    assert notices[0] == (
        "feeder-02 is left out: Its table cannot be used: what is wrong with it is reported beside the device,"
        " and in its supernode.log."
    )
    local = run(recipes.load(str(recipe)), tmp_path / "local")
    assert local["devices"] == results["devices"] and list(local["left_out"]) == ["feeder-02"]
