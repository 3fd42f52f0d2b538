"""The data check: one page that shows what is in a data set, what was done to it, and what a person should look at.

`gathering` (what the tables say, and which images are worth a look), `thumbnails` (these, drawn), `histogram` (of box
sizes), `template` and `page` (all of it as HTML).
"""
