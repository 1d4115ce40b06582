"""An ablation of the search by simulation: landscapes, a stochastic model of proposals, statistics, and a picture."""
