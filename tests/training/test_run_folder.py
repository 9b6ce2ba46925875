"""Run folders: names, links, what counts as unfinished."""

from pathlib import Path

from lightning_nlp.training.run_folder import new_run, newest_unfinished, point_latest, run_of_checkpoint, runs


def make(root: Path, *files: str) -> Path:
    run = new_run(root)
    for file in ("config.yaml", *files):
        (run / file).parent.mkdir(parents=True, exist_ok=True)
        (run / file).touch()
    return run


def test_names_sort_by_time_and_differ():
    names = [new_run("runs").name for _ in range(100)]
    assert names == sorted(set(names))
    assert not Path("runs").exists()


def test_only_runs_with_a_checkpoint_and_no_end_are_unfinished(tmp_path):
    assert newest_unfinished(tmp_path) is None
    make(tmp_path, "checkpoints/last.ckpt", "metrics.json")
    make(tmp_path)
    assert newest_unfinished(tmp_path) is None
    older, newer = (make(tmp_path, "checkpoints/last.ckpt") for _ in range(2))
    point_latest(older)
    assert newest_unfinished(tmp_path) == newer
    assert len(runs(tmp_path)) == 4  # the link is not one more


def test_latest_moves_at_once(tmp_path):
    first, second = make(tmp_path), make(tmp_path)
    point_latest(first)
    point_latest(second)
    assert (tmp_path / "latest").resolve() == second
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_link_survives_a_move_of_all_runs(tmp_path):
    run = make(tmp_path / "here")
    point_latest(run)
    (tmp_path / "here").rename(tmp_path / "there")
    assert (tmp_path / "there/latest/config.yaml").exists()


def test_checkpoint_outside_a_run_belongs_to_its_own_folder(tmp_path):
    assert run_of_checkpoint(tmp_path / "run/checkpoints/best.ckpt") == tmp_path / "run"
    assert run_of_checkpoint(tmp_path / "mine.ckpt") == tmp_path
