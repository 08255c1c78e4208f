"""Data: owners of the faults of tools and of reasoning. See owners.py."""

from __future__ import annotations

# tools are not called as was asked, or their answers are lost
_REQUIRED, _NAMED, _NAMED_PICTURE = (
    f"tools::test_tool_is_called[{name}]" for name in ("required", "named", "named-picture")
)
_CALLED = (_REQUIRED, _NAMED, _NAMED_PICTURE)
_WRITTEN = "tools::test_written_call_is_read"
_NO_CALL, _FREE = (f"tools::test_{name}" for name in ("no_tool_is_called", "free_choice_leaves_no_marks"))
_RESULTS = tuple(
    f"tools::test_answer_of_a_tool_reaches_the_model[{shape}]" for shape in ("text", "text-streamed", "list", "picture")
)
_BAD_TOOLS = tuple(
    f"tools::test_bad_tools_are_refused[{name}]"
    for name in (
        "tool-without-a-name",
        "parameters-are-a-text",
        "parameters-of-no-schema",
        "choice-of-no-tool",
        "choice-without-a-name",
        "choice-of-another-word",
        "choice-without-tools",
    )
)
# where no parser of calls is declared
UNOFFERED_TOOLS = tuple(
    f"tools::test_tools_that_are_not_offered_are_survived[{name}]" for name in ("auto", "required", "named")
)
TOOLS: dict[str, tuple[str, ...]] = {
    "tools-ignored": _CALLED,
    "tools-ignored-streamed": _CALLED,
    "tools-ignored-picture": (_NAMED_PICTURE,),
    "tool-required-ignored": (_REQUIRED,),
    "tool-of-another-name": _CALLED,
    "tool-enum-ignored": _CALLED,
    "tool-arguments-cut": _CALLED,
    "tool-arguments-object": _CALLED,
    "tool-piece-lost": _CALLED,
    "tool-piece-doubled": _CALLED,
    "tool-index-wrong": _CALLED,
    "tool-name-repeated": _CALLED,
    "tool-id-missing": _CALLED,
    "tool-called-twice": _CALLED,
    "tool-finish-wrong": _CALLED,
    "tool-required-stops": (_REQUIRED,),
    "tool-call-as-text": (*_CALLED, _WRITTEN),
    "tool-written-call-as-text": (_WRITTEN,),
    "tool-mark-left": (*_CALLED, _FREE),
    "text-mark-left": tuple(f"tools::test_text_has_no_marks[{about}]" for about in ("text", "picture")),
    "tool-nothing-said": (_NO_CALL, _FREE),
    "tool-called-anyway": (_NO_CALL,),
    "tool-answer-lost": _RESULTS,
    "tool-answer-lost-picture": _RESULTS[3:],
    "tool-answer-twice": _RESULTS,
    "tool-answer-list-lost": _RESULTS[2:3],
    "tool-picture-lost": ("tools::test_picture_of_a_tool_reaches_the_model",),
    "tool-definitions-lost": _RESULTS,
    "tool-history-lost": _RESULTS,
    "bad-tools-accepted": _BAD_TOOLS,
    "bad-tools-error": _BAD_TOOLS,
    "bad-tools-end-engine": _BAD_TOOLS,
}
# reasoning is not apart from the answer
THINKING = tuple(
    f"reasoning::test_reasoning_is_apart[{form}-{about}]"
    for form in ("plain", "streamed")
    for about in ("text", "picture")
)
REASONING: dict[str, tuple[str, ...]] = {
    "reasoning-in-text": THINKING,
    "reasoning-mark-left": THINKING,
    "reasoning-copied": THINKING,
    "reasoning-dropped": THINKING,
    "reasoning-without-answer": THINKING,
    "reasoning-late": THINKING[2:],
    "reasoning-in-text-streamed": THINKING[2:],
}
