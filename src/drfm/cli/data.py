"""`drfm data`: make a benchmark of a data set, and say what is wrong with one."""

from cyclopts import App

app = App(name="data", help="Make a cross-resolution benchmark of a data set, and check one.")
