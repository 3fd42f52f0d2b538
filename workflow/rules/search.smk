"""Images looked for on the network: lists of addresses, for data sources that name them as their `urls`.

Needs: the searches that the configuration names, the network, and for some providers a key in the environment.
Makes: results/searches/{search}.csv - only when asked for: by the target `searches`, or by the name of the file.
"""

# One at a time: providers count and limit the requests of all searches together.
workflow.global_resources.setdefault("search", 1)


rule search_images:
    output:
        urls="results/searches/{search}.csv",
    log:
        "results/logs/search_images/{search}.log",
    # Here is where the keys are, and the network.
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        search=1,
        mem_mb=500,
        runtime=120,
    params:
        # Not the code: to ask again finds other images, and is wanted only where another search is.
        search=lambda wildcards: canonical(config["searches"][wildcards.search]),
    script:
        "../scripts/search_images.py"


rule searches:
    input:
        expand("results/searches/{search}.csv", search=sorted(config["searches"])),
