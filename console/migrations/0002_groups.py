"""What the three groups of people may do here. Permissions are made by name: Django finds them later."""

from django.db import migrations

VIEWED = {"call": "call", "turn": "turn", "incident": "incident", "journalline": "journal line", "operatoraction": "operator action"}
ORDERS = {
    "toggle_circuit": "Can open and close circuits",
    "break_engine": "Can break the demonstration's engine",
    "see_caller": "Can see callers' numbers",
}


def _permission(apps, model, codename, name):
    ContentType = apps.get_model("contenttypes", "ContentType")
    Permission = apps.get_model("auth", "Permission")
    content_type, _ = ContentType.objects.get_or_create(app_label="console", model=model)
    found, _ = Permission.objects.get_or_create(content_type=content_type, codename=codename, defaults={"name": name})
    return found


def grant(apps, schema_editor):
    Group = apps.get_model("auth", "Group")
    views = [_permission(apps, model, f"view_{model}", f"Can view {name}") for model, name in VIEWED.items()]
    orders = {codename: _permission(apps, "call", codename, name) for codename, name in ORDERS.items()}
    Group.objects.get_or_create(name="supervisors")[0].permissions.add(*views)
    Group.objects.get_or_create(name="ops")[0].permissions.add(*views, orders["toggle_circuit"], orders["break_engine"])
    Group.objects.get_or_create(name="admins")[0].permissions.add(*views, *orders.values())


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0001_initial"),
        ("callflows", "0002_groups"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
