"""Conditional densities p(features | mass): the models, their settings and their ensembles."""
