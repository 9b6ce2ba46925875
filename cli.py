"""The command line, for a checkout: `python cli.py {fit,validate,test,predict} -c configs/…`."""

from lightning_nlp.cli import main

if __name__ == "__main__":
    main()
