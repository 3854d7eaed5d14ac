"""From particles to dijet events: jets, N-subjettiness, the columns of the LHC Olympics."""
