"""One verb a file.  A verb has a docstring (its help) and two functions:

    arguments(parser, argv)   declare what it takes; `argv` is what follows the verb (flags may depend on a name in it)
    run(options, rest)        do it; `rest` is what the parser did not know; returns the exit code (None is 0)

What a verb needs beyond the standard library it imports inside `run`, so that help stays fast.
"""
