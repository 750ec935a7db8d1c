"""From parsed options to settings: the one place where an option becomes a value of the house."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from oslo_config import cfg

from injector import settings
from injector.conf import opts
from injector.errors import InvalidRequest
from injector.model.finding import Check, Severity
from injector.model.host import InjectionPolicy

_Group = TypeVar("_Group")


def load(conf: cfg.ConfigOpts, arguments: Sequence[str], version: str) -> settings.Settings:
    """Parse files and arguments (``--config-file``, ``--config-dir``, ``/etc/injector/``) and read them.

    Raises InvalidRequest naming the option when a value cannot be used.
    """
    opts.register(conf)
    try:
        conf(list(arguments), project="injector", version=version)
        if "transport_url" in conf:
            _ = conf["transport_url"]  # the bus reads it: what is wrong with it is told here, as of all others
        return read(conf)
    except cfg.ConfigFileParseError as error:
        raise InvalidRequest(_unparsed(error), field="configuration") from None
    except (cfg.NoSuchOptError, cfg.NoSuchGroupError):
        # Not its words either: what follows a $ may be the rest of a password.
        message = "a value names an option that does not exist: a $ that means itself is written as $$"
        raise InvalidRequest(message, field="configuration") from None
    except (cfg.Error, ValueError) as error:
        raise InvalidRequest(f"the configuration cannot be used: {error}", field="configuration") from error


def _unparsed(error: cfg.ConfigFileParseError) -> str:
    """Without the library's own words: they quote the line, which may hold the password of a broker or a database."""
    cause = error.__context__
    known = isinstance(cause, cfg.ParseError)
    where = f"{error.config_file}, line {cause.lineno}: {cause.msg}" if known else error.config_file
    return f"the configuration cannot be read: {where}"


def read(conf: cfg.ConfigOpts) -> settings.Settings:
    state = Path(conf.state_path)
    if not state.is_absolute():
        raise InvalidRequest("state_path must be an absolute path", field="state_path")
    if conf.dispatcher.forward_last_port < conf.dispatcher.forward_first_port:
        raise InvalidRequest("forward_last_port lies before forward_first_port", field="[dispatcher] forward_last_port")
    return settings.Settings(
        host=conf.host or socket.gethostname(),
        state_dir=state,
        database_connection=conf.database.connection or f"sqlite:///{state / 'injector.sqlite'}",
        shutdown_timeout=conf.shutdown_timeout,
        dispatcher_level=conf.upgrade_levels.dispatcher,
        availability_zone=conf.availability_zone,
        api=_api(conf),
        quotas=_group(settings.Quotas, conf.quota),
        policy=_policy(conf),
        drive=_drive(conf),
        partition=_partition(conf),
        libvirt=_group(settings.LibvirtSettings, conf.libvirt),
        images=_images(conf),
        compute=_group(settings.ComputeSettings, conf.compute),
        dispatcher=_group(settings.DispatcherSettings, conf.dispatcher),
        lint=_lint(conf, state),
        key_files=tuple(Path(path) for path in conf.secrets.key_files),
    )


def _group(kind: type[_Group], options: Any) -> _Group:
    """Settings whose fields are named as their options are."""
    return kind(**{field.name: options[field.name] for field in dataclasses.fields(kind)})  # type: ignore[arg-type]


def _api(conf: cfg.ConfigOpts) -> settings.ApiSettings:
    given = {field.name: conf.api[field.name] for field in dataclasses.fields(settings.ApiSettings)}
    given["socket"] = Path(conf.api.socket) if conf.api.socket else None
    given["port"] = None if conf.api.port < 0 else conf.api.port
    return settings.ApiSettings(**given)


def _images(conf: cfg.ConfigOpts) -> settings.ImageSettings:
    given = {field.name: conf.images[field.name] for field in dataclasses.fields(settings.ImageSettings)}
    for name in ("directory", "token_file", "cafile"):
        given[name] = Path(given[name]) if given[name] else None
    if given["source"] == "http":
        for name in ("api_endpoint", "token_file"):
            if not given[name]:
                raise InvalidRequest(f"source = http needs {name} too", field=f"[images] {name}")
    return settings.ImageSettings(**given)


def _lint(conf: cfg.ConfigOpts, state: Path) -> settings.LintSettings:
    return settings.LintSettings(
        severities={check: Severity(conf.lint[check.value]) for check in Check},
        cloud_config_schema=Path(conf.lint.cloud_config_schema or state / "schema-cloud-config-v1.json"),
    )


def _drive(conf: cfg.ConfigOpts) -> settings.DriveSettings:
    template = conf.injected_network_template
    return settings.DriveSettings(
        dhcp_domain=conf.api.dhcp_domain,
        skip_versions=tuple(conf.api.config_drive_skip_versions),
        linux_password=conf.linux_password,
        admin_pass=conf.config_drive_inject_password,
        flat_injected=conf.flat_injected,
        network_template=Path(template) if template else None,
        virt_type=_virt_type(conf),
        vendor_data=_vendor_data(conf),
    )


def _partition(conf: cfg.ConfigOpts) -> settings.PartitionSettings:
    given, template = conf.injection, conf.injected_network_template
    order = tuple(dict.fromkeys(given.filesystems))
    if not order:
        raise InvalidRequest("at least one back end must be named", field="[injection] filesystems")
    return settings.PartitionSettings(
        filesystems=order,
        workers=given.workers,
        deadline=given.deadline,
        guestfs_deadline=given.guestfs_deadline,
        memory_limit=given.memory_limit,
        network_template=Path(template) if template else None,
        virt_type=_virt_type(conf),
    )


def _virt_type(conf: cfg.ConfigOpts) -> str:
    """As templates are told it; whether KVM works is found out later."""
    return "qemu" if conf.libvirt.virt_type == "qemu" else "kvm"


def _vendor_data(conf: cfg.ConfigOpts) -> settings.VendorDataSettings:
    file, certificates = conf.api.vendordata_jsonfile_path, conf.api.vendordata_dynamic_ssl_certfile
    return settings.VendorDataSettings(
        providers=tuple(conf.api.vendordata_providers),
        jsonfile=Path(file) if file else None,
        targets=tuple(conf.api.vendordata_dynamic_targets),
        connect_timeout=conf.api.vendordata_dynamic_connect_timeout,
        read_timeout=conf.api.vendordata_dynamic_read_timeout,
        failure_fatal=conf.api.vendordata_dynamic_failure_fatal,
        ssl_certfile=Path(certificates) if certificates else None,
    )


def _policy(conf: cfg.ConfigOpts) -> InjectionPolicy:
    return InjectionPolicy(
        force_config_drive=conf.force_config_drive,
        inject_partition=conf.libvirt.inject_partition,
        inject_key=conf.libvirt.inject_key,
        inject_password=conf.libvirt.inject_password,
        undeliverable=conf.injection.undeliverable,
        drive_format=conf.config_drive_format,
        linux_password=conf.linux_password,
        drive_password=conf.config_drive_inject_password,
    )
