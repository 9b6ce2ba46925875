"""When a run is kept offline."""

from lightning_nlp.training.tracker import must_be_offline


def test_offline_where_nobody_logged_in_and_nothing_was_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert must_be_offline()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert not must_be_offline()
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert not must_be_offline()
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {'x' * 40}\n")
    (tmp_path / "netrc").chmod(0o600)
    assert not must_be_offline()
