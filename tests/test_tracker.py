"""What arrives in Weights & Biases, read back from the offline run's own file."""

import yaml

from lightning_nlp.cli import main
from tests.wandb_file import offline_runs

FIT = ["fit", "-c", "configs/word_vectors/sample.yaml", "--trainer.enable_progress_bar", "false"]


def test_config_metrics_tables_and_pictures_arrive_in_one_run_that_a_test_continues(capfd):
    cli = main([*FIT, "--trainer.max_epochs", "2", "--trainer.log_every_n_steps", "5"])
    (run,) = offline_runs(cli.run)
    assert run.id == cli.run.name

    saved = yaml.safe_load((cli.run / "config.yaml").read_text())
    assert {key: run.config[key] for key in saved} == saved  # nested, whole: trainer, data, model, seed
    assert "dim" not in run.config  # and in one copy

    assert len(run.values("val/loss")) == 2
    assert run.values("train/loss")[0] > run.values("train/loss")[-1]
    assert run.values("trainer/global_step") == sorted(run.values("trainer/global_step"))

    assert (run.files / run.values("tables/neighbours/path")[-1]).exists()
    assert run.values("tables/neighbours/nrows")[-1] > 5
    assert (run.files / run.values("figures/map/filenames")[-1][0]).exists()

    main(["test", "-c", str(cli.run / "config.yaml"), "--ckpt_path", "best"])
    first, second = offline_runs(cli.run)
    assert first.id == second.id
    assert "test/pairs" in second.history[-1]
    assert "wandb sync" in capfd.readouterr().err


def test_csv_logger_by_config():
    cli = main([*FIT, "--trainer.max_epochs", "1", "--trainer.logger", "CSVLogger"])
    (file,) = cli.run.glob("csv/*/metrics.csv")
    assert "val/loss" in file.read_text().splitlines()[0]
    assert not (cli.run / "wandb").exists()
