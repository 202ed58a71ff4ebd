"""What is wrong with a task definition and its service before anything is changed: rules as data.

`rules.yml` is the table (docs/rules.md), an expression a rule over one document of all that was seen.
"""
