"""The published OpenAPI documents, judged by a validator that is not ours."""

import json
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from checks import EDGE, check, equal, run


def document(dialect):
    with urllib.request.urlopen(f"{EDGE}/openapi/{dialect}.json", timeout=10) as answer:
        equal(answer.headers.get_content_type(), "application/json")
        return json.load(answer)


def valid(dialect, path):
    spec = document(dialect)
    assert spec["openapi"].startswith("3.1."), spec["openapi"]
    validate(spec, cls=OpenAPIV31SpecValidator)
    assert path in spec["paths"], f"{path} is not among {len(spec['paths'])} paths"


@check
def the_document_of_agrovet_is_openapi_3_1():
    valid("agrovet", "/api/auth/users/me")


@check
def the_document_of_conectar_is_openapi_3_1():
    valid("conectar", "/users/me")


@check
def no_two_operations_of_a_document_share_an_id():
    for dialect in ("agrovet", "conectar"):
        operations = [o for path in document(dialect)["paths"].values() for o in path.values() if isinstance(o, dict)]
        ids = [o["operationId"] for o in operations if "operationId" in o]
        equal(len(ids), len(set(ids)))


run()
