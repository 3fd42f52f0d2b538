"""Object detection transfer learning: the library behind the workflow. It knows nothing of Snakemake."""
