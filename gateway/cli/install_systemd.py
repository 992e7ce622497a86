"""`linescribe install-systemd`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click

from gateway.cli.models_options import fail
from gateway.units import CONFIG, files

PROBLEM_VERSION = 0
"""Where systemd does not tell its own."""

SETTINGS = """\
# Settings of Linescribe; whatever is not here has its default: linescribe check-config shows all.
# linescribe doctor -c {config} tells what is missing on this machine.

# Where systemd puts it (StateDirectory=), so that commands such as linescribe reload find it, too.
state_dir: /var/lib/{state}

# Who is sent the transcripts (docs/webhooks.md):
# delivery:
#   endpoints:
#     - name: crm
#       url: https://crm.example/hook
#       secrets: [{{credential: crm}}]
"""


@click.command()
@click.option("--write", is_flag=True, help="Write the files, as root, instead of printing them.")
@click.option("--root", type=click.Path(path_type=Path), default=Path("/"), help="Write below here.  [default: /]")
@click.option("--instance", metavar="NAME", help="One of several gateways: linescribe@NAME, /etc/linescribe/NAME.yaml.")
@click.option(
    "--credential",
    "credentials",
    metavar="NAME:PATH",
    multiple=True,
    help="A secret in a file that root alone may read; the settings name it {credential: NAME}. Any number.",
)
@click.option("--gpu", is_flag=True, help="Let it reach NVIDIA's GPUs.")
@click.option("--program", metavar="PATH", help="The command linescribe.  [default: the one that runs now]")
def install_systemd(
    *, write: bool, root: Path, instance: str | None, credentials: tuple[str, ...], gpu: bool, program: str | None
) -> None:
    """Print or write what systemd needs to run the gateway as a service.

    The unit runs it as a user that exists only meanwhile, with next to no rights, restarts it when it dies or is stuck,
    and lets calls in progress run out when it stops. A second unit fetches the models once. Settings that are there
    already are left alone; so is everything without --write.

    \b
    Examples:
      linescribe install-systemd                     look at it
      sudo linescribe install-systemd --write --gpu
      sudo linescribe install-systemd --write --instance sales
      sudo linescribe install-systemd --write --credential crm:/etc/linescribe/credentials/crm
    """
    if instance is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", instance):
        raise click.BadParameter("expected letters, digits, '_', '-' and '.'", param_hint="--instance")
    if wrong := [each for each in credentials if not re.fullmatch(r"[A-Za-z0-9_.-]+:/\S+", each)]:
        raise click.BadParameter(f"expected NAME:/WHOLE/PATH, got {wrong[0]!r}", param_hint="--credential")
    command = _command(program)
    made = list(
        files(
            program=command,
            config=CONFIG,
            instance=instance,
            gpu=gpu,
            version=_version(),
            credentials=credentials,
        )
    )
    name = f"linescribe-{instance}" if instance else "linescribe"
    config = Path(CONFIG).with_name(f"{instance}.yaml") if instance else Path(CONFIG)
    settings = config.relative_to("/"), SETTINGS.format(config=config, state=name)
    if not write:
        for path, text in (*made, settings):
            click.echo(f"# /{path}\n{text}")
        return
    try:
        for path, text in made:
            _write(root / path, text)
        if (root / settings[0]).exists():
            click.echo(f"kept {root / settings[0]}")
        else:
            _write(root / settings[0], settings[1])
    except OSError as error:
        fail(f"cannot write {error.filename}: {error.strerror}; as root? (sudo)")
    _tell_rest(config, instance)


def _command(program: str | None) -> str:
    """Find the command with its whole path, as systemd wants it."""
    found = program or shutil.which(sys.argv[0]) or str(Path(sys.executable).with_name("linescribe"))
    path = Path(found).absolute()
    if not path.is_file():
        fail(f"there is no {path}: name the command with --program")
    if path.is_relative_to("/home") or path.is_relative_to("/root"):
        click.echo(
            f"linescribe: {path} lies in a home, which the service cannot see (ProtectHome=): install it elsewhere,"
            " such as in /opt/linescribe (python3 -m venv /opt/linescribe)",
            err=True,
        )
    return str(path)


def _version() -> int:
    """Ask systemd for its version."""
    try:
        told = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True, timeout=10).stdout  # noqa: S607  the machine's own
    except (OSError, subprocess.SubprocessError):
        return PROBLEM_VERSION
    found = re.match(r"systemd (\d+)", told)
    return int(found[1]) if found else PROBLEM_VERSION


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    click.echo(f"wrote {path}")


def _tell_rest(config: Path, instance: str | None) -> None:
    at = f"@{instance}" if instance else ""
    click.echo(f"""
next:
  edit {config}
  systemctl daemon-reload
  systemctl enable --now linescribe-models{at} linescribe{at}
  systemctl status linescribe{at}""")
