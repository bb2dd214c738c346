"""textcnn presets."""

from __future__ import annotations

import click

EPILOG = """\b
Examples:
  textcnn presets
  textcnn presets residual > mine.toml
  textcnn train data.csv --config mine.toml
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False)
def presets(name: str | None) -> None:
    """List the named settings, or show those of NAME as TOML, to be changed and given to train --config."""
    from textcnn.errors import ConfigError
    from textcnn.presets import about_preset, preset_names, preset_text
    from textcnn.registry import nearest

    known = preset_names()
    if name is None:
        width = max(map(len, known))
        for each in known:
            click.echo(f"{each:<{width}}  {about_preset(each)}")
    elif name in known:
        click.echo(preset_text(name), nl=False)
    else:
        raise ConfigError(f"unknown preset {name!r}{nearest(name, known)} (known: {', '.join(known)})")
