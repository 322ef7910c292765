"""A hook of schemathesis: a schema can't say that no two releases may have the same id, so the requests obey here."""

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    releases = case.body.get("releases") if isinstance(case.body, dict) else None
    if not isinstance(releases, list):
        return
    seen, unique = set(), []
    for number, release in enumerate(releases, 1):
        name = release.get("id", number) if isinstance(release, dict) else None
        if isinstance(name, (str, int)) and not isinstance(name, bool):
            if str(name) in seen:
                release = {**release, "id": f"{name} of release {number}"}
            seen.add(str(release.get("id", number)))
        unique.append(release)
    case.body = {**case.body, "releases": unique}
