"""The command line. Command modules import their work inside the command, so that --help is instant."""
