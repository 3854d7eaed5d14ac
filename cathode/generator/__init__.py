"""Event generator: QCD dijets and heavy resonances, from Pythia to the columns of the LHC Olympics table."""
