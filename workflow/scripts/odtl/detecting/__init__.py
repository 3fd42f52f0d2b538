"""A detector at work: on images, videos and animated GIFs, by tiles where asked for; what it finds as files."""
