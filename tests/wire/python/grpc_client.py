"""A gRPC client as another team would write it: grpcio with code generated from proto/, over HTTP/2 without TLS."""

import base64
import hashlib
import json
import os
import struct
import time
import zlib
from urllib.parse import urlsplit

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.rpc import error_details_pb2, status_pb2

from checks import EDGE, check, equal, run
from plaza.access.v1 import access_pb2
from plaza.access.v1.access_pb2 import ROLE_CLIENT
from plaza.auth.v1 import account_pb2, account_pb2_grpc, key_pb2, key_pb2_grpc, session_pb2, session_pb2_grpc
from plaza.auth.v1 import audit_pb2, firebase_pb2, password_pb2, second_factor_pb2
from plaza.chat.v1 import chat_pb2, chat_pb2_grpc, room_pb2
from plaza.media.v1 import media_pb2, media_pb2_grpc
from plaza.users.v1 import device_pb2, user_pb2, user_pb2_grpc

channel = grpc.insecure_channel(urlsplit(EDGE).netloc)
accounts = account_pb2_grpc.AccountServiceStub(channel)
sessions = session_pb2_grpc.SessionServiceStub(channel)
keys = key_pb2_grpc.KeyServiceStub(channel)
users = user_pb2_grpc.UserServiceStub(channel)
media = media_pb2_grpc.MediaServiceStub(channel)
chat = chat_pb2_grpc.ChatServiceStub(channel)

EMAIL = f"nandu.{os.urandom(4).hex()}@example.com"
PASSWORD = "Caballo7bateria"


class Me:
    """Who the first check registers; the others are this person."""

    token = refresh = id = None


def signed_in():
    return (("authorization", f"Bearer {Me.token}"),)


def refusal(call, *arguments, **options):
    """The error that a call ends with."""
    options.setdefault("timeout", 10)
    try:
        answer = call(*arguments, **options)
        if not hasattr(answer, "DESCRIPTOR"):
            answer = list(answer)
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"was not refused but answered {answer}")


def details(error):
    """The ErrorInfo and the BadRequest of an error, as google.rpc.Status carries them."""
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    equal(status.code, error.code().value[0])
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        for known in (info, bad_request):
            if detail.Is(known.DESCRIPTOR):
                detail.Unpack(known)
    return info, bad_request


@check
def a_person_registers_and_is_signed_in():
    answer = accounts.Register(
        account_pb2.RegisterRequest(
            email=EMAIL,
            password=PASSWORD,
            password_rule=account_pb2.PASSWORD_RULE_MIXED,
            role=ROLE_CLIENT,
            profile=account_pb2.Profile(first_name="Ñandú", last_name="Peña 🐎"),
            sign_in=True,
        ),
        timeout=20,
    )
    equal(answer.account.email, EMAIL)
    equal(list(answer.account.roles), [ROLE_CLIENT])
    equal(answer.account.state, account_pb2.ACCOUNT_STATE_ACTIVE)
    assert answer.account.number > 0 and not answer.account.HasField("phone")
    Me.id = answer.account.id


@check
def a_login_answers_tokens_for_the_same_person():
    answer = sessions.LogIn(session_pb2.LogInRequest(email=EMAIL.upper(), password=PASSWORD), timeout=20)
    equal(answer.user_id, Me.id)
    assert answer.tokens.expires_in > 0 and answer.tokens.refresh_token
    Me.token, Me.refresh = answer.tokens.access_token, answer.tokens.refresh_token


@check
def a_person_is_read_with_the_token_and_accents_survive():
    person = users.GetUser(user_pb2.GetUserRequest(id=Me.id), metadata=signed_in(), timeout=10)
    equal((person.first_name, person.last_name), ("Ñandú", "Peña 🐎"))
    equal(person.email, EMAIL)
    assert person.created_at.ToSeconds() > 1_700_000_000


@check
def without_a_token_the_person_is_not_shown():
    error = refusal(users.GetUser, user_pb2.GetUserRequest(id=Me.id))
    equal(error.code(), grpc.StatusCode.UNAUTHENTICATED)
    equal(details(error)[0].reason, "NOT_SIGNED_IN")


@check
def a_forged_token_is_refused():
    head, body, signature = Me.token.split(".")
    forged = f"{head}.{body}.{signature[::-1]}"
    metadata = (("authorization", f"Bearer {forged}"),)
    error = refusal(users.GetUser, user_pb2.GetUserRequest(id=Me.id), metadata=metadata)
    equal(error.code(), grpc.StatusCode.UNAUTHENTICATED)
    equal(details(error)[0].reason, "BAD_TOKEN")


@check
def a_wrong_password_is_refused_by_reason():
    error = refusal(sessions.LogIn, session_pb2.LogInRequest(email=EMAIL, password="wrong"))
    equal(error.code(), grpc.StatusCode.UNAUTHENTICATED)
    info, _ = details(error)
    equal((info.reason, info.domain), ("BAD_CREDENTIALS", "plaza"))


@check
def broken_field_rules_come_back_by_field():
    request = account_pb2.RegisterRequest(
        email=EMAIL, password=PASSWORD, profile=account_pb2.Profile(first_name="x" * 151), sign_in=True
    )
    error = refusal(accounts.Register, request)
    equal(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
    info, bad_request = details(error)
    equal(info.reason, "INVALID_FIELDS")
    violations = [(v.field, v.reason) for v in bad_request.field_violations]
    equal(violations, [("profile.first_name", "string.max_len")])


@check
def a_taken_email_is_a_fault_of_the_field_email():
    request = account_pb2.RegisterRequest(email=EMAIL, password=PASSWORD, role=ROLE_CLIENT)
    error = refusal(accounts.Register, request, timeout=20)
    equal(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
    info, bad_request = details(error)
    equal(info.reason, "EMAIL_TAKEN")
    equal([v.field for v in bad_request.field_violations], ["email"])


def wav(seconds):
    """A sound of noise: its bytes are nowhere alike, so that a lost or doubled chunk shows."""
    samples = os.urandom(seconds * 88_200)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 44_100, 88_200, 2, 16)
    data = struct.pack("<4sI", b"data", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(form) + len(data)) + b"WAVE" + form + data


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(x % 256 for x in range(y, y + 3 * width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def upload(name, content, size=100_000):
    def messages():
        header = media_pb2.UploadHeader(file_name=name, folder=media_pb2.FOLDER_CHAT, file_required=True)
        yield media_pb2.UploadMediaRequest(header=header)
        for at in range(0, len(content), size):
            yield media_pb2.UploadMediaRequest(chunk=content[at : at + size])

    return media.UploadMedia(messages(), metadata=signed_in(), timeout=30)


def read(path, **range_):
    header, *chunks = media.ReadFile(media_pb2.ReadFileRequest(path=path, **range_), metadata=signed_in(), timeout=30)
    equal(header.WhichOneof("part"), "header")
    return header.header, b"".join(chunk.chunk for chunk in chunks)


@check
def a_file_goes_up_and_comes_down_byte_for_byte():
    sound = wav(20)
    stored = upload("voz.wav", sound)
    equal((stored.kind, stored.content_type, stored.owner_id), (media_pb2.KIND_AUDIO, "audio/wav", Me.id))
    equal(stored.sha256, hashlib.sha256(sound).hexdigest())
    header, content = read(stored.path)
    equal((header.size, header.length), (len(sound), len(sound)))
    assert content == sound, f"{len(content)} bytes came back, {len(sound)} went up, and they differ"

    header, content = read(stored.path, offset=1000, length=70_000)
    equal((header.size, header.offset, header.length), (len(sound), 1000, 70_000))
    assert content == sound[1000:71_000], "the range differs"


@check
def an_image_gets_thumbnails():
    stored = upload("campo.png", png(640, 480))
    equal((stored.kind, stored.width, stored.height), (media_pb2.KIND_IMAGE, 640, 480))
    header, content = read(stored.thumbnail_path)
    assert header.content_type in ("image/jpeg", "image/webp"), header.content_type
    equal(len(content), header.size)


@check
def a_file_that_is_not_what_it_says_is_refused():
    try:
        upload("campo.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        equal(details(error)[0].reason, "MEDIA_TYPE_REFUSED")
    else:
        raise AssertionError("was not refused")


@check
def a_deadline_ends_a_call_that_waits():
    def never():
        yield media_pb2.UploadMediaRequest(header=media_pb2.UploadHeader(file_name="a.wav", file_required=True))
        time.sleep(3)

    started = time.monotonic()
    error = refusal(media.UploadMedia, never(), metadata=signed_in(), timeout=0.4)
    equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    took = time.monotonic() - started
    assert took < 2, f"took {took:.1f} s"


@check
def what_is_between_services_is_refused_from_outside():
    request = user_pb2.ProvisionUserRequest(id=Me.id, number=1, version=99)
    error = refusal(users.ProvisionUser, request, metadata=signed_in())
    # The edge does not even know the method; a service would say PERMISSION_DENIED.
    assert error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED), error.code()
    # Neither does a name help that only a certificate can prove.
    metadata = signed_in() + (("l5d-client-id", "auth.plaza.serviceaccount.identity.linkerd.cluster.local"),)
    error = refusal(users.ProvisionUser, request, metadata=metadata)
    assert error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED), error.code()


def raw(path, request=b"", timeout=10):
    """A call without generated code."""
    return channel.unary_unary(path)(request, timeout=timeout)


def rpcs(who):
    """The paths of all RPCs with such an access rule."""
    files = (account_pb2, audit_pb2, firebase_pb2, key_pb2, password_pb2, second_factor_pb2, session_pb2)
    for file in files + (user_pb2, device_pb2, media_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if method.GetOptions().Extensions[access_pb2.rule].who == who:
                    yield f"/{service.full_name}/{method.name}"


def asked(path, metadata=()):
    """How a call with an empty message ends; on the wire a unary call is a stream of one."""
    try:
        list(channel.stream_stream(path)(iter([b""]), metadata=metadata, timeout=10))
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@check
def no_rpc_that_needs_somebody_answers_nobody():
    paths = [*rpcs(access_pb2.WHO_USER), *rpcs(access_pb2.WHO_ROLE)]
    assert len(paths) > 20, paths
    # Services may call some of these without a token, and it is a service, the edge, through which we come.
    open_ = [f"{path}: {code.name}" for path in paths if (code := asked(path)) != grpc.StatusCode.UNAUTHENTICATED]
    assert not open_, ", ".join(open_)


@check
def no_rpc_for_administrators_answers_others():
    paths = list(rpcs(access_pb2.WHO_ROLE))
    codes = {path: asked(path, signed_in()) for path in paths}
    assert paths and set(codes.values()) == {grpc.StatusCode.PERMISSION_DENIED}, codes


@check
def no_rpc_between_services_answers_anybody():
    paths = list(rpcs(access_pb2.WHO_PEER))
    codes = {asked(path, metadata) for path in paths for metadata in ((), signed_in())}
    assert paths and codes <= {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED}, codes


@check
def unknown_rpcs_are_unimplemented():
    for path in ("/plaza.users.v1.UserService/StealUser", "/plaza.ghosts.v1.GhostService/GetGhost"):
        equal(refusal(raw, path).code(), grpc.StatusCode.UNIMPLEMENTED)


@check
def health_is_serving():
    # HealthCheckResponse{status: SERVING}
    equal(raw("/grpc.health.v1.Health/Check"), b"\x08\x01")


@check
def a_token_verifies_with_the_published_keys():
    def decoded(part):
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

    head, body, signature = Me.token.split(".")
    header, claims = json.loads(decoded(head)), json.loads(decoded(body))
    equal(header["alg"], "EdDSA")
    published = {key.id: key for key in keys.GetKeySet(key_pb2.GetKeySetRequest(), timeout=10).keys}
    public = Ed25519PublicKey.from_public_bytes(decoded(published[header["kid"]].x))
    public.verify(decoded(signature), f"{head}.{body}".encode())
    equal((claims["sub"], claims["typ"], claims["roles"]), (Me.id, "access", ["CLIENT"]))
    assert claims["iat"] <= time.time() + 5 and claims["exp"] > time.time()


@check
def many_calls_at_once_share_one_connection():
    request = user_pb2.GetUserRequest(id=Me.id)
    calls = [users.GetUser.future(request, metadata=signed_in(), timeout=20) for _ in range(200)]
    equal({call.result().id for call in calls}, {Me.id})


@check
def a_stream_that_is_refused_says_why_although_the_client_would_go_on():
    nowhere = chat_pb2.Open(room=room_pb2.RoomKey(number=1 << 40))

    def goes_on():
        yield chat_pb2.ClientFrame(open=nowhere)
        time.sleep(3)

    requests = chat.Connect, goes_on(), chat.Subscribe, chat_pb2.SubscribeRequest(open=nowhere)
    for call, request in zip(requests[::2], requests[1::2]):
        started = time.monotonic()
        error = refusal(call, request, metadata=signed_in())
        equal(error.code(), grpc.StatusCode.NOT_FOUND)
        equal(details(error)[0].reason, "ROOM_NOT_FOUND")
        assert time.monotonic() - started < 2


@check
def a_refreshed_session_goes_on_and_an_ended_one_is_refused_within_a_second():
    fresh = sessions.Refresh(session_pb2.RefreshRequest(refresh_token=Me.refresh), timeout=10)
    assert fresh.refresh_token != Me.refresh
    Me.token = fresh.access_token
    # Remembered as verified everywhere, so that only the revocation can refuse it.
    users.GetUser(user_pb2.GetUserRequest(id=Me.id), metadata=signed_in(), timeout=10)

    equal(sessions.LogOut(session_pb2.LogOutRequest(), metadata=signed_in(), timeout=10).ended, 1)
    time.sleep(1)
    error = refusal(users.GetUser, user_pb2.GetUserRequest(id=Me.id), metadata=signed_in())
    equal(error.code(), grpc.StatusCode.UNAUTHENTICATED)
    # The edge does not say which of the two it is; a service would.
    assert details(error)[0].reason in ("SESSION_REVOKED", "BAD_TOKEN"), error


run()
